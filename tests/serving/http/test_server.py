import fcntl
import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from segline.cli.main import main
from segline.model.package import Model

from ...waiting import wait_until
from ..server import Server


def test_on_term_what_was_taken_in_is_answered_and_nothing_more(
    tiny_model: Model, ct: bytes, tmp_path: Path
) -> None:
    got: list[int] = []
    with Server(tiny_model.folder, tmp_path, "--workers", "1") as server:
        clients = [
            threading.Thread(target=lambda: got.append(server.post(ct).status_code)) for _ in range(12)
        ]
        for client in clients:
            client.start()
        wait_until(lambda: b"segline_queue_length 0.0" not in server.get("/metrics").content)
        assert server.stop() == 0
        for client in clients:
            client.join()
    assert set(got) <= {200, 503} and got.count(200) >= 2
    assert not list(server.spool.iterdir())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_nothing_that_was_sent_outlives_the_server(
    tiny_model: Model, ct: bytes, tmp_path: Path, how: signal.Signals
) -> None:
    with Server(tiny_model.folder, tmp_path) as server:
        job = server.post(ct, "/v1/jobs").json()["id"]
        assert server.get(f"/v1/jobs/{job}").status_code == 200
        assert server.spooled
        server.stop(how)
        wait_until(lambda: not list(server.spool.iterdir()))


def test_a_signal_in_the_middle_of_a_line_of_the_log_ends_it_too(tiny_model: Model, tmp_path: Path) -> None:
    server = Server(tiny_model.folder, tmp_path, env={"PYTHONUNBUFFERED": ""})
    os.mkfifo(server.log)
    log = os.open(server.log, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(log, fcntl.F_SETPIPE_SZ, 4096)
    with server:
        with pytest.raises(httpx.ReadTimeout):
            for _ in range(1000):  # nobody reads the log: it is full, and the line of one waits
                httpx.get(f"{server.uri}/readyz", timeout=2)
        assert server.process
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        os.set_blocking(log, True)
        reading = threading.Thread(target=lambda: [*iter(lambda: os.read(log, 4096), b"")])
        reading.start()
        assert server.process.wait(30) == 0
        reading.join()
    os.close(log)


def test_a_full_queue_says_when_to_ask_again(tiny_model: Model, ct: bytes, tmp_path: Path) -> None:
    with Server(tiny_model.folder, tmp_path, "--workers", "1", "--queue", "2") as server:
        got: list[httpx.Response] = []
        clients = [threading.Thread(target=lambda: got.append(server.post(ct))) for _ in range(30)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert {response.status_code for response in got} == {200, 429}
        for response in got:
            if response.status_code == 429:
                assert 1 <= int(response.headers["Retry-After"]) <= 120
                assert "wait already" in response.json()["error"]
        assert len({response.content for response in got if response.status_code == 200}) == 1


def test_a_volume_that_takes_too_much_memory_is_refused_before_it_is_read(
    tiny_model: Model, ct: bytes, tmp_path: Path
) -> None:
    with Server(tiny_model.folder, tmp_path, "--memory-gb", "0.001") as server:
        response = server.post(ct)
    assert response.status_code == 413
    assert "of memory" in response.json()["error"]


def test_a_model_that_is_not_there_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "spleen@champion", "--store", str(tmp_path / "store")]) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1 and "no registry" in told


def test_an_answer_that_nobody_fetches_goes_though_nobody_asks_again(
    tiny_model: Model, ct: bytes, tmp_path: Path
) -> None:
    with Server(tiny_model.folder, tmp_path, "--keep-minutes", "0.01") as server:
        assert server.post(ct, "/v1/jobs").status_code == 202
        wait_until(lambda: bool(server.spooled))
        wait_until(lambda: not server.spooled)
