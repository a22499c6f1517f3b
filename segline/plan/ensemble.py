"""The ensemble part of a plan: how many networks answer together."""

from pydantic import Field, model_validator

from segline.plan.part import Part

_MOST = 100


class Ensemble(Part):
    """Networks of one shape whose class scores are averaged; a plan of one network has none of it."""

    members: int = Field(default=1, ge=1, le=_MOST)
    """Each trained on a fold."""
    seeds: int = Field(default=1, ge=1, le=_MOST)
    """That one training makes, each from a seed of its own and for the whole schedule."""

    @model_validator(mode="after")
    def _not_too_many(self) -> "Ensemble":
        if self.count > _MOST:
            raise ValueError(f"members times seeds are {self.count} networks, at most {_MOST} are allowed")
        return self

    @property
    def count(self) -> int:
        """Of all networks."""
        return self.members * self.seeds
