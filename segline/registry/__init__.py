"""The registry: runs and models in MLflow, and models back out of it by name.

Nothing here imports MLflow before it is used.
"""
