"""From a volume to an answer: windows, their blending, post-processing; whatever runs the network.

Knows nothing of training, labels or runs: serving stands on it.
"""
