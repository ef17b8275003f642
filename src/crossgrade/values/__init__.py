"""The value types in which the rooms of crossgrade meet; standard library only.

Every type here is frozen, slotted and keyword-only. This package must not know where a value
came from or how it will be shown: it imports no other room, no numpy and no torch.
"""
