"""A training step on a layout: its passes, its pipeline, what replicas exchange, what ranks hold.

Must not know vendors, nor how an answer is shown.
"""
