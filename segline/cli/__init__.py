"""The ``segline`` command."""
