"""Sensors of energy and power: what counts the energy of which device, found by trying.

The one place that knows vendors' sensors and tools; `table.py` lists them. Must not import torch,
nor know what is measured.
"""
