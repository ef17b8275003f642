"""Capture -> the kernels that a stack launches. Pure work on columns; must not know chips."""
