"""From a source to verified cases: fetched, checked, described, kept by content.

Knows nothing of networks and of what is learned from the cases.
"""
