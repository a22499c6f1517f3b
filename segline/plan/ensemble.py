"""The ensemble part of a plan: how many networks answer together."""

from pydantic import PositiveInt

from segline.plan.part import Part


class Ensemble(Part):
    """Networks of one shape whose class scores are averaged; a plan of one network has none of it."""

    members: PositiveInt = 1
    """Each trained on a fold."""
    seeds: PositiveInt = 1
    """That one training makes, each from a seed of its own and for the whole schedule."""

    @property
    def count(self) -> int:
        """Of all networks."""
        return self.members * self.seeds
