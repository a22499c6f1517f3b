"""Bytes that outlive a run: object stores, depots, archives, and patience with a server that is away.

Knows nothing of what the bytes mean.
"""
