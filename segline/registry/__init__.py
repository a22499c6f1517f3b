"""The registry: versions and champions in MLflow, and models back out of it by name.

Knows finished runs; trains and evaluates nothing but a champion anew. Imports MLflow where it is used.
"""
