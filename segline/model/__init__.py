"""A trained package: plan, weights, history, graphs and sidecars, which prove that they belong together.

May be read by whatever predicts: nothing of training, data or runs is known here.
"""
