"""Pure renderers: a value in, text out. Must not compute anything and must not import torch."""
