"""A task's overrides, part by part, in place of what was proposed."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from segline.common.documents import first_fault
from segline.common.errors import SeglineError
from segline.imaging.geometry import Shape
from segline.plan import NETWORKS, Preprocessing, Split, Task, Training, merged
from segline.plan.layouts import of_today
from segline.plan.networks import Architecture
from segline.planning.proposals import propose_network, propose_training
from segline.planning.splits import NONE, SPLIT_PARTS, SplitRule, Strata, Twins, split_cases

_PARTS = ("preprocessing", "training", "network", "ensemble", "inference", "gate", "split")
OTHERS = "others"
"""Under which a task gives the rule of the channels that it does not name."""
Part = TypeVar("Part", bound=BaseModel)


class Overrides:
    """A task's ``plan``, part by part."""

    def __init__(self, task: Task) -> None:
        self.name = f"task {task.name}: plan"
        self._values = of_today(task.plan)

    def part(self, key: str) -> dict[str, Any]:
        part = self._values.get(key, {})
        if not isinstance(part, Mapping):
            raise SeglineError(f"{self.name}.{key}: a mapping is needed, not {part!r}")
        return dict(part)

    def apply(
        self, key: str, model: type[Part], proposal: dict[str, Any], leave_out: Collection[str] = ()
    ) -> Part:
        given = {name: value for name, value in self.part(key).items() if name not in leave_out}
        return self._checked(key, model, merged(proposal, given))

    def _checked(self, key: str, model: type[Part], values: dict[str, Any]) -> Part:
        try:
            return model.model_validate(values)
        except ValidationError as error:
            raise SeglineError(first_fault(error, f"{self.name}.{key}")) from error

    def preprocessing(self, proposal: dict[str, Any], channels: Sequence[str]) -> Preprocessing:
        """Rules of intensity may be given by the channels' names; a channel without one keeps its proposal.

        Raises:
            SeglineError: no channel is called so, or a value does not fit.
        """
        given = self.part("preprocessing")
        if isinstance(rules := given.get("intensity"), Mapping):
            given["intensity"] = self._in_order(rules, proposal["intensity"], channels)
        return self._checked("preprocessing", Preprocessing, merged(proposal, given))

    def _in_order(
        self, rules: Mapping[Any, Any], proposed: Sequence[Any], channels: Sequence[str]
    ) -> list[Any]:
        named = {str(channel): rule for channel, rule in rules.items()}
        if unknown := named.keys() - {*channels, OTHERS}:
            raise SeglineError(
                f"{self.name}.preprocessing.intensity: no channel is called {min(unknown)!r}; there are "
                f"{', '.join(channels)}, and {OTHERS!r} for those that are not named"
            )
        return [
            merged({"": rule}, {"": named.get(channel, named.get(OTHERS, rule))})[""]
            for channel, rule in zip(channels, proposed, strict=True)
        ]

    def network(self, patch: Shape, answers: str = "voxels") -> Architecture:
        """Proposed for the architecture that the task names; what it names besides takes its place."""
        given = self.part("network")
        name = str(given.get("name", "unet"))
        try:
            proposal = propose_network(patch, name)
        except SeglineError as error:
            raise SeglineError(f"{self.name}.network.name: {error}") from error
        if NETWORKS[name].answers != answers:
            fitting = ", ".join(known for known, each in NETWORKS.items() if each.answers == answers)
            of = "voxel" if NETWORKS[name].answers == "voxels" else "image"
            raise SeglineError(
                f"{self.name}.network.name: {name} answers of every {of}, not what this kind of task asks; "
                f"choose of {fitting}"
            )
        return self._checked("network", NETWORKS[name], merged(proposal, given))

    def training(self, patch: Shape) -> Training:
        """The batch follows the patch, also where the task names another."""
        size = self.apply("training", Training, propose_training(patch)).patch_size
        return self.apply("training", Training, propose_training(size))

    def split(self, names: Sequence[str], twins: Twins = (), strata: Strata = NONE) -> dict[str, Any]:
        if self._lists_cases:
            return self._explicit_split(names, twins)
        return self._followed(self.split_rule(), names, twins, strata)

    def ensemble_split(
        self, names: Sequence[str], twins: Twins = (), strata: Strata = NONE
    ) -> dict[str, Any]:
        """An ensemble's folds are no matter of its own split."""
        if self._lists_cases:
            return self._explicit_split(names, twins, leave_out=SplitRule.model_fields)
        return self._followed(self.split_rule().model_copy(update={"folds": 0}), names, twins, strata)

    def split_rule(self) -> SplitRule:
        return self.apply("split", SplitRule, {})

    def members_rule(self) -> SplitRule:
        """By which an ensemble's folds are made, whatever cases are listed for its own split."""
        return self.apply("split", SplitRule, {}, leave_out=SPLIT_PARTS)

    def member_split(self, whole: Split) -> dict[str, Any]:
        """A fold of the cases that an ensemble does not hold out."""
        rule = self.members_rule()
        listed = tuple(tuple(sorted({*cases} - {*whole.test})) for cases in rule.fold_cases)
        return self._followed(
            rule.model_copy(update={"fold_cases": listed}),
            [*whole.train, *whole.val],
            whole.twins,
            whole.strata,
        )

    @property
    def _lists_cases(self) -> bool:
        return bool(set(SPLIT_PARTS) & self.part("split").keys())

    def _followed(
        self, rule: SplitRule, names: Sequence[str], twins: Twins, strata: Strata
    ) -> dict[str, Any]:
        try:
            return split_cases(names, rule, twins, strata)
        except SeglineError as error:
            raise SeglineError(f"{self.name}.{error}") from error

    def rest(self) -> dict[str, Any]:
        for key in ("task", "kind", "dataset_digest", "channels", "labels", "ignore"):
            if key in self._values:
                raise SeglineError(
                    f"{self.name}.{key}: the task and its data set decide this; take it out of the plan"
                )
        return {key: value for key, value in self._values.items() if key not in _PARTS}

    def _explicit_split(
        self, names: Sequence[str], twins: Twins, leave_out: Collection[str] = ()
    ) -> dict[str, Any]:
        listed = {*(name for part in SPLIT_PARTS for name in self.part("split").get(part) or ())}
        groups = [[name for name in group if name in listed] for group in twins]
        split = self.apply(
            "split", Split, {"twins": [group for group in groups if len(group) > 1]}, leave_out
        )
        unknown = {*split.train, *split.val, *split.test} - set(names)
        if unknown:
            raise SeglineError(
                f"{self.name}.split: the data set has no case {min(unknown)}; its first is {min(names)}"
            )
        return split.model_dump()
