"""``segline listen`` as a process: killed, stopped, and refused."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from segline.cli.main import main
from segline.imaging.dicom.segmentation import file_bytes
from segline.imaging.dicom.sources import Source
from segline.model.package import Model

from ...command import python
from ...imaging.dicom.read_back import read_back
from ...waiting import wait_until
from .neighbours import Archive, left_in, listening, send


def test_one_that_is_killed_while_it_predicts_answers_once_when_it_is_started_again(
    tiny_model: Model, series: Path, slices: list[Path], mask: np.ndarray, tmp_path: Path
) -> None:
    with Archive() as archive:
        with listening(tiny_model.folder, tmp_path, "--peer", archive.peer) as (process, port):
            send(slices, port)
            wait_until(lambda: time.sleep(0.05) or list(tmp_path.glob("predicting/*/tries")))
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not archive.kept and list(tmp_path.glob("predicting/*/*.dcm"))
        with listening(tiny_model.folder, tmp_path, "--peer", archive.peer) as (process, _):
            wait_until(lambda: time.sleep(0.05) or (archive.kept and not left_in(tmp_path)))
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert process.stderr is not None
            told = process.stderr.read().splitlines()
    (segments,) = archive.kept
    np.testing.assert_array_equal(read_back(file_bytes(segments), Source.at(series), {1: "spleen"}), mask)
    assert all(" segline listen: " in line for line in told) and len(told) == 4
    assert not [line for line in told if "Doe" in line or "4711" in line]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no peer to answer; add --peer TITLE=HOST:PORT of the one that sends"),
        (["--peer", "PACS=127.0.0.1:1", "--port", "1", "--host", "203.0.113.1"], "cannot be listened at"),
        (["--peer", "PACS=127.0.0.1:1", "--ae-title", "A\\B"], "no AE title"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    arguments: list[str],
    told: str,
    tiny_model: Model,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["listen", str(tiny_model.folder), "--spool", str(tmp_path), "--backend", "onnxruntime"]
    assert main([*command, *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


STOPPED_BY_SIGNALS = """
import signal, sys
from pathlib import Path
from segline.serving.dicom_node import node
from segline.serving.dicom_node.peers import Peers
from segline.serving.dicom_node.spool import Spool

node._LOOK_EVERY_S = 0  # so that a signal comes anywhere in the loop
peers, settings = Peers.of(["PACS=127.0.0.1:104"], None, ()), node.Settings("SEGLINE", "127.0.0.1", 0, 1, 60)
for number in range(20):
    one = node.Node(lambda *_: None, Spool(Path(sys.argv[1], str(number)), 1e9), peers, settings)
    one._arrivals.completed = lambda: None  # nor mostly in there
    signal.signal(signal.SIGALRM, lambda *_: one.stop())
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    one.run()
"""


def test_a_signal_stops_it_wherever_it_comes(tmp_path: Path) -> None:
    done = python("-c", STOPPED_BY_SIGNALS, tmp_path, timeout_s=60)
    assert done.returncode == 0, done.stderr
