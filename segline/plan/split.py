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

    @model_validator(mode="after")
    def _no_case_twice(self) -> "Split":
        counts = Counter([*self.train, *self.val, *self.test])
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"case {twice[0]} is in the split more than once")
        return self

    def renamed(self, names: Mapping[str, str]) -> "Split":
        """With the case names that ``names`` gives; the others stay."""
        parts = {part: [names.get(case, case) for case in cases] for part, cases in self}
        return Split.model_validate(parts)
