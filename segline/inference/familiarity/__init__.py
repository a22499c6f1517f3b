"""How far an input lies from what a model learned from, and when that is too far."""
