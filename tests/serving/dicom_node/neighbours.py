"""Who a node has around it: senders, archives, and the node itself, all on the loopback interface."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    Comprehensive3DSRStorage,
    CTImageStorage,
    EnhancedCTImageStorage,
    SegmentationStorage,
    Verification,
)

from segline.serving.dicom_node.node import Answerer, Node, Settings
from segline.serving.dicom_node.peers import Peers
from segline.serving.dicom_node.spool import Spool

from ...s3_server import free_port
from ...tiny_task import ROOT

_LOOK_EVERY_S = 0.05


class Archive:
    """Keeps what it is sent; while it is ``away`` nobody is at its port."""

    def __init__(self, title: str = "PACS", status: int = 0) -> None:
        self.title, self.port, self.status = title, free_port(), status
        self.kept: list[pydicom.Dataset] = []
        self._entity: AE | None = None

    def __enter__(self) -> "Archive":
        self._entity = AE(self.title)
        for kind in (SegmentationStorage, Comprehensive3DSRStorage):
            self._entity.add_supported_context(kind)
        handlers = [(evt.EVT_C_STORE, self._store)]
        self._entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._entity is not None
        self._entity.shutdown()

    @property
    def peer(self) -> str:
        return f"{self.title}=127.0.0.1:{self.port}"

    @property
    def kinds(self) -> list[str]:
        return sorted(dataset.Modality for dataset in self.kept)

    def _store(self, event: Any) -> int:
        if not self.status:
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            self.kept.append(dataset)
        return self.status


@contextmanager
def association(port: int, title: str = "PACS") -> Iterator[Any]:
    """With the node at a port, released at the end unless it was aborted."""
    entity = AE(title)
    for kind in (Verification, CTImageStorage, EnhancedCTImageStorage):
        entity.add_requested_context(kind)
    opened = entity.associate("127.0.0.1", port)
    yield opened
    if opened.is_established:
        opened.release()


def send(paths: Iterable[Path], port: int, title: str = "PACS") -> list[int]:
    """Send images in one association; their statuses."""
    with association(port, title) as opened:
        assert opened.is_established
        return [int(opened.send_c_store(pydicom.dcmread(path)).Status) for path in paths]


@contextmanager
def running(
    answer: Answerer,
    spool: Path,
    peers: Iterable[str],
    send_to: str | None = None,
    only: Iterable[str] = (),
    broken_s: float = 60,
    spool_bytes: float = 1e9,
) -> Iterator[int]:
    """A node in this process, stopped at the end; its port."""
    port = free_port()
    settings = Settings("SEGLINE", "127.0.0.1", port, quiet_s=0.3, broken_s=broken_s)
    node = Node(answer, Spool(spool, spool_bytes), Peers.of(peers, send_to, only), settings)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            node.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        while thread.is_alive() and not is_listening(port):
            time.sleep(_LOOK_EVERY_S)
        yield port
    finally:
        node.stop()
        thread.join()
    assert not failed, failed


def is_listening(port: int) -> bool:
    """Whether a node answers C-ECHO there, or somebody refuses to."""
    entity = AE("PACS")
    entity.add_requested_context(Verification)
    entity.connection_timeout = 1
    opened = entity.associate("127.0.0.1", port)
    if opened.is_established:
        opened.release()
    return bool(opened.is_rejected or opened.is_released)


def left_in(spool: Path) -> list[Path]:
    """All files of the spool but its lock."""
    return [Path(folder, name) for folder, _, names in os.walk(spool) for name in names if name != "lock"]


@contextmanager
def listening(model: Path, spool: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """``segline listen`` in a process of its own, which is killed at the end; and its port."""
    port = free_port()
    places = ["--spool", str(spool), "--port", str(port), "--quiet-s", "0.5", "--backend", "onnxruntime"]
    command = [sys.executable, "-m", "segline.cli", "listen", str(model), *places, "--device", "cpu"]
    process = subprocess.Popen([*command, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        while not is_listening(port):
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(_LOOK_EVERY_S)
        yield process, port
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
