"""Rebuilds the shipped operator tables from the lists that PyTorch and the vendors publish.

Run it as `python -m crossgrade.chips.derive`. Needs pyyaml; must not be imported by anything
that runs at a user's side.
"""
