"""Whether an answer should be trusted: how far its input lies from what the model learned from, and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segline.imaging.volume import Volume
from segline.inference.familiarity.domains import Domain
from segline.inference.familiarity.profiles import Profile
from segline.inference.familiarity.reasons import reasons_of
from segline.plan import Plan


@dataclass(frozen=True)
class Familiarity:
    """How far an input lies from what a model learned from."""

    distance: float
    """0 for an ordinary one, about 1 for the farthest of what was learned."""
    threshold: float
    """Farther is not trusted."""
    p_value: float
    """Share of ordinary inputs that lie as far, at least; no smaller than the calibration cases can tell."""
    rate: float
    """Of ordinary inputs that are not trusted, at most."""
    calibration_cases: int
    """How many the threshold is of."""
    reasons: tuple[str, ...]
    """In words, with figures, the farthest first; none where it is trusted."""
    kinds: tuple[str, ...]
    """What each reason is about, in one word that says nothing of the patient."""

    @property
    def trusted(self) -> bool:
        """Whether it lies as near as ordinary inputs do."""
        return self.distance <= self.threshold

    def told(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "distance": self.distance,
            "threshold": self.threshold,
            "trusted": self.trusted,
            "p_value": round(self.p_value, 4),
            "reasons": list(self.reasons),
        }

    @property
    def words(self) -> str:
        """In one line; empty where it is trusted."""
        if self.trusted:
            return ""
        far = f"{self.distance:.3g} from what was learned where up to {self.threshold:.3g} is usual"
        return f"not to be trusted, {far}: {'; '.join(self.reasons)}"


def familiarity(
    domain: Domain, plan: Plan, volume: Volume, volumes_ml: Mapping[str, float] | None = None
) -> Familiarity:
    """How far a volume lies from what a model learned from; with ``volumes_ml``, also what it answered.

    Nothing is refused: of a volume that cannot be brought to the plan's grid, its geometry is looked at.
    Of others every few voxels are read, where the plan's rules of intensity allow that.

    Args:
        domain: of the model.
        plan: of the model.
        volume: that it was given.
        volumes_ml: of each label of its answer, 0 for one that was not found.
    """
    case = Profile.of_volume(plan, volume, volumes_ml)
    distance = domain.distance(case)
    reasons = reasons_of(domain, plan, volume, case) if distance > domain.threshold else []
    return Familiarity(
        distance=distance,
        threshold=domain.threshold,
        p_value=domain.p_value(distance),
        rate=domain.rate,
        calibration_cases=len(domain.calibration),
        reasons=tuple(reason.text for reason in reasons),
        kinds=tuple(dict.fromkeys(reason.kind for reason in reasons)),
    )
