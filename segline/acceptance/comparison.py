"""What comparing an ensemble with its members finds: the records of it."""

from collections.abc import Mapping

from pydantic import BaseModel

from segline.acceptance.times import BackendTimes, Benchmark
from segline.common.documents import Document
from segline.evaluation.estimates import Estimate


class Standing(BaseModel, frozen=True):
    """What a model is worth on the cases that no member has seen, and what it weighs."""

    overall: dict[str, Estimate]
    weights_bytes: int


class Comparison(Document):
    """An ensemble beside its members, on the same cases."""

    kind = "a comparison of an ensemble"
    stage = "compare_members"

    cases: int
    ensemble: Standing
    members: tuple[Standing, ...]
    gains: tuple[Estimate, ...]
    """Score of a case, the ensemble's less the member's; one a member."""
    member_times: tuple[BackendTimes, ...]
    """Of the first member, on the cases of the run's benchmark."""

    @property
    def scalars(self) -> Mapping[str, float]:
        """The mean of the deciding figure of each, and what the ensemble gains over the mean member."""
        deciding = next(iter(self.ensemble.overall))
        means = {"ensemble": self.ensemble.overall[deciding].mean}
        means |= {f"member_{n}": member.overall[deciding].mean for n, member in enumerate(self.members)}
        scalars = {f"{name}_mean_{deciding}": mean for name, mean in means.items() if mean is not None}
        gains = [gain.mean for gain in self.gains if gain.mean is not None]
        return {**scalars, f"ensemble_gain_{deciding}": sum(gains) / len(gains)} if gains else scalars

    def slowdowns(self, timed: Benchmark) -> Mapping[str, float]:
        """By backend, how many times longer than one member the ensemble takes for a case, end to end."""
        of_member = {times.backend: times.end_to_end.volume_ms.p50 for times in self.member_times}
        return {
            times.backend: times.end_to_end.volume_ms.p50 / of_member[times.backend]
            for times in timed.backends
            if times.backend in of_member
        }
