"""A step as the ranks of a layout run it: what each computes, exchanges and keeps.

Must not know models by name, nor how an answer is shown.
"""
