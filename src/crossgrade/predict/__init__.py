"""Capture + chip + layout -> predicted time and memory, as a band between two ends.

Pure arithmetic on the capture's columns: no torch, no model, no device. Must not know how a
capture was made or how a prediction is shown.
"""
