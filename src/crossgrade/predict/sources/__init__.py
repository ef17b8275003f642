"""Readers of public tables: each gives kernel rows in SI units and knows nothing of scoring."""
