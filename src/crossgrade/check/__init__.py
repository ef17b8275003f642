"""Capture + chip -> findings: operators, memory, numerics, prediction.

Pure analysis: no torch. Must not know how a capture was made or how findings are shown.
"""
