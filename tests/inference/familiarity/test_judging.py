"""What a model should not be trusted with is told with its reason; ordinary inputs are not."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.trust import FAULTS, Learned, flipped, head_ct, lengthened
from segline.data.phantom.heart import heart_case
from segline.data.phantom.scanner import ORIENTATIONS, phantom_on_grid
from segline.data.verification import verify
from segline.imaging.geometry import Grid, Reorientation, as_shape
from segline.imaging.volume import Volume
from segline.inference.familiarity.domains import Domain, joined
from segline.inference.familiarity.judging import Familiarity, familiarity
from segline.inference.familiarity.profiles import Profile
from segline.plan import Plan

from ...conftest import small_plan

pytestmark = pytest.mark.heavy

NEW = 20


@pytest.fixture(scope="module")
def abdomen(tiny_plan: Plan) -> Learned:
    """What a model of 19 made-up CT knows."""
    cases = [Profile.of_volume(tiny_plan, coarse_ct(number, seed=0)) for number in range(19)]
    return Learned(tiny_plan, Domain.learned(cases[:17], cases[17:]))


@pytest.fixture(scope="module")
def new() -> list[Volume]:
    """Other patients, on other scanners' grids."""
    return [coarse_ct(number, seed=77) for number in range(NEW)]


def coarse_ct(index: int, seed: int) -> Volume:
    """A made-up abdomen in large voxels, which is quickly painted; stored in some orientation."""
    rng = np.random.default_rng([seed, index, 5])
    spacing = np.array([*[rng.uniform(4.5, 6)] * 2, rng.uniform(5, 7)])
    low, high = rng.uniform(-115, -85), rng.uniform(72, 100)
    extent = np.array([rng.uniform(315, 375), rng.uniform(250, 290), high - low])
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = np.array([0, 0, (low + high) / 2]) - extent / 2
    grid = Grid(as_shape(extent // spacing + 1), affine)
    turn = Reorientation.between("RAS", str(rng.choice(ORIENTATIONS)))
    return phantom_on_grid(turn.apply_to_grid(grid), index, seed)[0]


def doubted(judged: Sequence[Familiarity]) -> int:
    return sum(not each.trusted for each in judged)


def test_new_patients_are_trusted_as_often_as_was_calibrated(abdomen: Learned, new: list[Volume]) -> None:
    judged = abdomen.judged(new)
    assert abdomen.domain.rate == pytest.approx(0.05)
    assert doubted(judged) <= 3
    assert all(each.reasons == () and each.words == "" for each in judged if each.trusted)
    assert min(each.p_value for each in judged) >= 1 / (1 + len(abdomen.domain.calibration))


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        ("values + 1024", "offset", "values look like CT stored with an offset of 1024"),
        ("values scaled to 0..1", "scaled", "values from 0 to 1 for the model's"),
        ("lengths x 10", "unit", "lengths look 10 times too large"),
        ("lengths / 10", "unit", "lengths look 10 times too small"),
        ("upside down", "turned", "looks upside down: turned, it would lie"),
        ("front to back", "turned", "looks turned front to back"),
        ("left to right", "turned", "looks mirrored left to right"),
    ],
)
def test_a_planted_fault_is_told_by_its_name(
    fault: str, kind: str, told: str, abdomen: Learned, new: list[Volume]
) -> None:
    judged = abdomen.judged([FAULTS[fault](volume) for volume in new[:8]])
    assert doubted(judged) >= 7
    named = [each for each in judged if kind in each.kinds]
    assert len(named) >= 7
    assert named[0].reasons[0].startswith(told)


@pytest.mark.parametrize("made", [lambda: head_ct(1), lambda: heart_case(0, scale=0.2)[0]])
def test_another_part_of_the_body_or_modality_is_told(made: Callable[[], Volume], abdomen: Learned) -> None:
    (judged,) = abdomen.judged([made()])
    assert judged.distance > 3 * judged.threshold
    assert {"layout", "values"} & {*judged.kinds}
    assert judged.p_value == pytest.approx(1 / (1 + len(abdomen.domain.calibration)))


def test_how_a_file_stores_its_voxels_makes_no_difference(abdomen: Learned, new: list[Volume]) -> None:
    volume = new[0]
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (volume.array.shape[1] - 1)
    affine[:3, 0] *= -1
    stored = Volume(np.flip(volume.array, 1), affine)
    ours, theirs = abdomen.judged([volume, stored])
    assert ours.distance == pytest.approx(theirs.distance, abs=1e-3)


def test_an_answer_unlike_the_training_labels_is_told(abdomen: Learned, new: list[Volume]) -> None:
    cases = [
        case.model_copy(update={"volumes_ml": {"spleen": 150.0 + n}})
        for n, case in enumerate(abdomen.domain.cases)
    ]
    domain = Domain.learned(cases, [])
    usual, empty, large = (familiarity(domain, abdomen.plan, new[0], {"spleen": ml}) for ml in (155, 0, 2500))
    assert usual.trusted
    assert empty.reasons == ("spleen is not found, learned from 150 to 166 ml",)
    assert large.reasons == ("spleen fills 2500 ml, learned from 150 to 166 ml",)


def test_a_volume_that_the_network_cannot_be_given_is_judged_by_its_geometry(
    abdomen: Learned, new: list[Volume]
) -> None:
    far = lengthened(new[0], 1000)
    assert Profile.of_volume(abdomen.plan, far).percentiles == ()
    (judged,) = abdomen.judged([far])
    assert judged.reasons[0].startswith("lengths look 1000 times too large")


def test_every_channel_is_looked_at(abdomen: Learned, new: list[Volume]) -> None:
    before = abdomen.plan.preprocessing
    preprocessing = before.model_copy(update={"intensity": before.intensity * 2})
    two = {"channels": ("CT", "other"), "preprocessing": preprocessing}
    plan = abdomen.plan.model_copy(update=two)
    twice = [Volume(np.concatenate([v.array, v.array]), v.affine) for v in new]
    domain = Domain.learned([Profile.of_volume(plan, volume) for volume in twice[1:]], [])
    spoilt = twice[0].array.copy()
    spoilt[1] = 40
    judged = familiarity(domain, plan, twice[0].with_array(spoilt))
    assert not judged.trusted and any(reason.startswith("other: ") for reason in judged.reasons)


def test_of_few_cases_a_margin_is_left_and_said(abdomen: Learned) -> None:
    few = Domain.learned(abdomen.domain.cases[:3], abdomen.domain.cases[3:4])
    assert len(few.calibration) == 4 and few.rate == pytest.approx(1 / 5)
    assert few.calibrated.endswith("1.5 times the farthest, as they are few")
    assert few.threshold == pytest.approx(max(1.0, 1.5 * few.calibration[-1]), abs=1e-3)
    assert Domain.learned(abdomen.domain.cases[:1], []).threshold > 0


def test_many_validation_cases_calibrate_alone() -> None:
    cases = [Profile.of_volume(small_plan(), ones(seed)) for seed in range(70)]
    domain = Domain.learned(cases[:10], cases[10:])
    assert domain.calibrated == "60 validation cases" and len(domain.calibration) == 60
    assert domain.rate == pytest.approx(1 / 61)  # rank 60 of 60


def test_networks_that_answer_together_have_learned_from_the_cases_of_each(abdomen: Learned) -> None:
    cases = abdomen.domain.cases
    halves = [Domain.learned(cases[:10], cases[10:]), Domain.learned(cases[6:], cases[:6])]
    assert {case.layout for case in joined(halves).cases} == {case.layout for case in cases}
    assert len(joined(halves).cases) == len(cases)


def test_real_mr_and_ct_are_told_apart_and_a_turned_brain_is_seen(
    shared_data: Path, abdomen: Learned
) -> None:
    manifest = verify(shared_data / "Task04_Hippocampus")
    names = [case.name for case in manifest.cases]
    manifest = manifest.model_copy(update={"cases": tuple(manifest.named(names[:60]))})
    learned = Learned.of(manifest, "hippocampus")
    tested = [manifest.image(case) for case in manifest.named(learned.plan.split.test)]
    assert doubted(learned.judged(tested)) <= 2
    assert doubted(learned.judged([flipped(volume, 2) for volume in tested])) == len(tested)
    assert doubted(learned.judged([coarse_ct(0, 0)])) == 1
    assert doubted(abdomen.judged(tested)) == len(tested)


def ones(seed: int) -> Volume:
    rng = np.random.default_rng(seed)
    return Volume(rng.uniform(0, 1, (1, 12, 12, 12)).astype(np.float32), np.eye(4))
