"""Architectures by name, and their weights: built from a plan, saved without code, run without gradients.

Knows nothing of where patches come from or what becomes of scores.
"""
