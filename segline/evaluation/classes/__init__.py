"""How good classes are that were predicted."""
