"""Collectives of a group of ranks: what a rank does, how a group is run, what follows."""
