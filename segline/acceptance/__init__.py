"""Whether a model is good enough, fast enough and better than the champion.

Judges what was evaluated; knows nothing of MLflow or of pages.
"""
