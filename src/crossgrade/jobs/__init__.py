"""Isolated workers: the one place where processes are run. Must not know what a job does."""
