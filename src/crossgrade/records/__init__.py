"""Results as files: codec, versions, store. Must not know what a result means; imports no torch."""
