import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from segline.common.errors import SeglineError
from segline.model.package import Model
from segline.serving.models.live import Candidate, LiveModel
from segline.serving.models.served import Served


@pytest.fixture
def live(tiny_model: Model) -> Iterator[LiveModel]:
    running = LiveModel(Served(tiny_model, "tiny/1", "pytorch", "cpu").opened())
    yield running
    running.close()


def windows() -> Tensor:
    return torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))


def test_an_alias_that_moved_is_followed(live: LiveModel, tiny_model: Model) -> None:
    live.look(lambda: Candidate("tiny/2", lambda: Served(tiny_model, "tiny/2", "pytorch", "cpu").opened()))
    assert live.served.name == "tiny/2" and live.swaps == 1


def test_an_alias_that_stays_loads_nothing(live: LiveModel) -> None:
    live.look(lambda: Candidate("tiny/1", lambda: pytest.fail("loaded")))
    assert live.swaps == 0


def test_a_version_that_is_not_fit_is_told_once_and_the_old_one_stays(
    live: LiveModel, caplog: pytest.LogCaptureFixture
) -> None:
    loaded = []

    def load() -> Served:
        loaded.append(1)
        raise SeglineError("its weights are damaged")

    for _ in range(3):
        live.look(lambda: Candidate("tiny/2", load))
    assert live.served.name == "tiny/1" and live.refusals == len(loaded) == 1
    assert "tiny/1 stays: tiny/2 is not fit: its weights are damaged" in caplog.text
    live.look(lambda: Candidate("tiny/1", load))
    live.look(lambda: Candidate("tiny/2", load))
    assert len(loaded) == 2, "it may have been mended since"


def test_a_registry_that_is_away_is_told_once_and_asked_on(
    live: LiveModel, caplog: pytest.LogCaptureFixture
) -> None:
    asked = threading.Semaphore(0)

    def source() -> Candidate:
        asked.release()
        raise SeglineError("http://mlflow: does not answer")

    live.watch(source, 0.01)
    for _ in range(5):
        assert asked.acquire(timeout=10)
    assert caplog.text.count("the registry cannot be asked, tiny/1 stays") == 1


def test_who_began_with_a_version_ends_with_it(live: LiveModel, tiny_model: Model) -> None:
    with live.in_use() as (served, network):
        before = network(windows())
        live.swap(Served(tiny_model, "tiny/2", "pytorch", "cpu").opened())
        assert served.name == "tiny/1"
        assert torch.equal(network(windows()), before)
    with pytest.raises(SeglineError, match="closed"):
        network(windows())
    with live.in_use() as (served, _):
        assert served.name == "tiny/2"
