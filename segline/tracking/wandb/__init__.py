"""Weights & Biases: runs at its server, or in files for it. Its client has a process of its own.

In a program it takes the place of ``sys.exit`` and of the hook for exceptions, prints, and waits at the end.
"""
