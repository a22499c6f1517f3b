"""Who listens to a training: is told each point of its curves as it comes."""

from collections.abc import Callable

from segline.model.history import TrainingPoint

Listener = Callable[[TrainingPoint], None]
"""Called between two steps: neither keeps the training waiting nor raises."""


def silent(point: TrainingPoint) -> None:
    """Tell nobody."""
