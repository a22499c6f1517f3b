"""An MLflow server that is lost in the middle of a registration."""

import os
import socket
import time
from collections.abc import Callable
from functools import partial

import pytest

from segline.registry.registering import register
from segline.registry.versions import versions
from segline.tracking.mlflow_connection import Registry, registry_at

from ..mlflow_runs import Runs, refusal
from ..relay import Relay, relayed
from ..waiting import wait_until

RECORDING, CREATING = b"/runs/log-batch", b"/model-versions/create"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], Registry]:
    """The registry at a URI, as an entry point opens it."""

    def opened(uri: str, patience_s: float) -> Registry:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3" if patience_s < 10 else "60")
        monkeypatch.setenv("MLFLOW_PATIENCE_S", str(patience_s))
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        return registry_at("", uri, os.environ)

    return opened


@pytest.mark.parametrize(
    ("then", "patience_s", "reason"),
    [(Relay.die, 2, "Connection refused"), (Relay.hang, 6, "timed out")],
    ids=["dead", "silent"],
)
def test_a_server_that_is_lost_is_one_line_when_the_patience_is_over(
    runs: Runs,
    server: str,
    patient: Callable[[str, float], Registry],
    caplog: pytest.LogCaptureFixture,
    then: Callable[[Relay], None],
    patience_s: float,
    reason: str,
) -> None:
    run = runs.make("lost", "lost")
    with relayed(server, RECORDING, then) as uri:
        registry = patient(uri, patience_s)
        assert registry.client
        started = time.monotonic()
        line = refusal(lambda: register(run, registry))
        assert time.monotonic() - started < 30  # MLflow's own client takes four minutes
    assert line.startswith(f"{uri}: ") and reason in line
    assert any(uri in told and "; trying again for" in told for told in caplog.messages)


def test_a_registration_goes_on_when_the_server_is_back(
    runs: Runs, server: str, patient: Callable[[str, float], Registry]
) -> None:
    with relayed(server, RECORDING, partial(Relay.be_away, seconds=1)) as uri:
        version = register(runs.make("back", "back"), patient(uri, 60))
    assert [each.name for each in versions(Registry(server), "back")] == [version.name]


def test_a_version_whose_answer_was_lost_is_not_made_twice(
    runs: Runs, server: str, patient: Callable[[str, float], Registry]
) -> None:
    with relayed(server, CREATING, Relay.lose_the_answer) as uri:
        version = register(runs.make("answer", "answer"), patient(uri, 60))
    assert [each.name for each in versions(Registry(server), "answer")] == [version.name]
    assert version.aliases == ("challenger",)


def test_a_silent_server_is_told_of_before_the_request_is_given_up(
    patient: Callable[[str, float], Registry],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("segline.tracking.mlflow_connection._WATCH_FROM_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        registry = patient(f"http://127.0.0.1:{silent.getsockname()[1]}", 2)
        registry.patiently(lambda: wait_until(lambda: "; still waiting" in caplog.text))
    assert f"{registry.uri}: no MLflow server answers (timed out)" in caplog.text
