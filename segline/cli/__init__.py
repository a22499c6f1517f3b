"""The ``segline`` command: a parser and a few lines a subcommand.

May call every room; what it does besides asking and printing belongs into one of them.
"""
