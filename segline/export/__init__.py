"""Graphs and bundles made from weights, each run beside PyTorch before it is kept.

Knows packages, cases and backends; nothing of test figures, runs or registries.
"""
