"""Runs where people compare them: MLflow first.

Reads a run's folder; registers nothing, decides nothing, and never stops a training.
"""
