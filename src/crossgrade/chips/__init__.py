"""Chip descriptions and operator-support tables, with their loaders.

Must not know torch, captures or models: it describes chips and what their software registers.
"""
