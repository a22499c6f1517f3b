"""A model at work for others: behind the doors through which programs ask it.

Knows models, backends and kinds of task; nothing of how a model came about.
"""
