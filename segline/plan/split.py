"""Which cases serve for what."""

from collections import Counter
from collections.abc import Mapping

from pydantic import Field, model_validator

from segline.plan.part import Part


class Split(Part):
    """Case names. Validation cases choose the checkpoint; test cases give the reported figures."""

    train: tuple[str, ...] = Field(min_length=1)
    val: tuple[str, ...] = Field(min_length=1)
    test: tuple[str, ...] = Field(min_length=1)
    twins: tuple[tuple[str, ...], ...] = Field(default=(), exclude_if=lambda twins: not twins)
    """Groups of names that one image has; each group is on one side."""
    strata: dict[str, float] = Field(default={}, exclude_if=lambda strata: not strata)
    """Of each case, what every part is to have its share of, such as its class."""

    @model_validator(mode="after")
    def _no_case_twice(self) -> "Split":
        counts = Counter([*self.train, *self.val, *self.test])
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"case {twice[0]} is in the split more than once")
        return self

    @model_validator(mode="after")
    def _twins_on_one_side(self) -> "Split":
        sides = {name: part for part in ("train", "val", "test") for name in getattr(self, part)}
        for first, *others in self.twins:
            for name in others:
                if sides.get(first) != sides.get(name):
                    raise ValueError(
                        f"cases {first} and {name} are one image, one in {sides.get(first)} and one in "
                        f"{sides.get(name)}; put both on one side, or take one out of the data set"
                    )
        return self

    def renamed(self, names: Mapping[str, str]) -> "Split":
        """With the case names that ``names`` gives; the others stay."""
        parts = {
            part: [names.get(case, case) for case in getattr(self, part)] for part in ("train", "val", "test")
        }
        twins = [[names.get(case, case) for case in group] for group in self.twins]
        strata = {names.get(case, case): stratum for case, stratum in self.strata.items()}
        return Split.model_validate({**parts, "twins": twins, "strata": strata})
