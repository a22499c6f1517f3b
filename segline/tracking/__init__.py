"""Runs where people compare them: MLflow first.

Reads a run's folder; registers nothing and decides nothing.
"""
