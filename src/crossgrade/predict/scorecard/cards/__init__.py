"""One module per family of kernels: its splits, its tiers, its anchors, its lines."""
