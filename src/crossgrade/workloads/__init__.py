"""Builders: a model reference -> a module without weights, its inputs, its checkpoint's format.

Must not know how execution is recorded, nor chips.
"""
