"""Workload and target -> samples -> numbers with intervals. Must not know vendors or renderers."""
