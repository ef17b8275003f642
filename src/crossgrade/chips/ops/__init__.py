"""The parts of an operator table: rows, manifest, documentation, resolution.

Must not know torch or yaml; callers use `crossgrade.chips.optables`.
"""
