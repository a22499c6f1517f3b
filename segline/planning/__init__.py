"""From a data set's fingerprint to a plan: proposals, a task's overrides, splits and folds.

Nothing is trained or predicted here.
"""
