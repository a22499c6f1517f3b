"""Graphs and bundles made from weights, each run beside PyTorch before it is kept."""
