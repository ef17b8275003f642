"""Public measurements against our predictions, with frozen splits: how far off each tier is.

Scoring only: what is fitted here is fitted on the calibration side of a split and thrown away.
"""
