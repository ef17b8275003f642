"""Pages on findings, errors and words, as they ship. Must not know how they are shown."""
