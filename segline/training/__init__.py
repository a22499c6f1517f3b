"""From cases to weights: batches, steps, validation, checkpoints, and what a training ships.

Knows the plan and cases; nothing of test cases, graphs, runs or registries.
"""
