"""Kernel rows + chip -> seconds, with how far off that may be.

Four tiers: `T0` data sheet and assumed rates, `T1` parameters transferred from other chips, `T2`
calibrated on this chip, `T3` measured table of this chip. Must not know captures, models or
vendors.
"""
