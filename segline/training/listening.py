"""Who is told of a training's curves while they are drawn."""

from collections.abc import Callable

from segline.model.history import TrainingPoint

Listener = Callable[[TrainingPoint], None]
"""Is told of each point as it is reached; it neither raises nor takes long, since the training waits."""


def unheard(_: TrainingPoint) -> None:
    """Tell nobody."""
