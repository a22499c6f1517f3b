import pytest
from kubernetes.utils.quantity import parse_quantity

from pipelines.cluster.footprint import STAGES, Demand, Profile, quantity
from segline.common.errors import SeglineError


def test_what_is_not_said_is_a_whole_cluster_with_gpus() -> None:
    assert Demand.of("", "", "") == Demand("nvidia", "full", ())


def test_types_of_gpu_are_named_between_spaces_and_once() -> None:
    assert Demand.of("nvidia", "full", " NVIDIA-L4  Tesla-T4 NVIDIA-L4").gpu_types == (
        "NVIDIA-L4",
        "Tesla-T4",
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("tpu",), "ACCELERATOR=tpu: unknown; give nvidia or none"),
        (("none", "tiny"), "PROFILE=tiny: unknown; give full or small"),
        (
            ("none", "full", "Tesla-T4"),
            "GPU_TYPES=Tesla-T4: ACCELERATOR=none has no GPU; leave one of them out",
        ),
    ],
)
def test_what_there_is_not_is_refused(words: tuple[str, ...], line: str) -> None:
    with pytest.raises(SeglineError) as caught:
        Demand.of(*words)
    assert str(caught.value) == line


@pytest.mark.parametrize("profile", ["full", "small"])
@pytest.mark.parametrize("stage", STAGES)
def test_requests_are_within_limits(stage: str, profile: Profile) -> None:
    given = Demand(profile=profile).stages[stage]
    for request, limit in (given.cpu, given.memory):
        assert 0 < quantity(request) <= quantity(limit)
    assert quantity(given.shm or "0Gi") <= quantity(given.memory[1]) / 2


def test_without_gpus_no_stage_has_one() -> None:
    assert not any(given.gpu for given in Demand("none").stages.values())


def test_the_small_profile_changes_sizes_and_nothing_else() -> None:
    full, small = Demand().stages, Demand(profile="small").stages
    for name, given in full.items():
        other = small[name]
        assert (given.hours, given.retries, given.gpu, given.gpu_image, bool(given.shm)) == (
            other.hours,
            other.retries,
            other.gpu,
            other.gpu_image,
            bool(other.shm),
        )


@pytest.mark.parametrize("text", ["500m", "4", "256Mi", "24Gi", "0"])
def test_a_quantity_is_what_kubernetes_reads(text: str) -> None:
    assert quantity(text) == float(parse_quantity(text))
