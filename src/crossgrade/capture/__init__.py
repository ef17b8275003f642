"""Workload -> Capture, on fake tensors: no weights, no device, nothing allocated.

The modules that need torch are imported by the functions that use them; `codec`, `fold` and
`diff` need numpy only. Must not know chips, prices or findings.
"""
