"""A real ``segline serve`` in a process of its own, and a client for it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """Started by its block, ready when that begins."""

    def __init__(
        self,
        model: Path | str,
        folder: Path,
        *more: str,
        env: Mapping[str, str] | None = None,
        python: Path | str = sys.executable,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.spool, self.log = folder / "spool", folder / "serve.log"
        self.spool.mkdir(parents=True, exist_ok=True)
        command = [str(python), "-m", "segline.cli", "serve", str(model), "--port", str(self.port)]
        self._command = [*command, "--spool", str(self.spool), *more]
        self._env = {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=ROOT, env=self._env, stdout=log, stderr=log)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(f"{self.uri}/readyz").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.1)
        self.process.kill()  # what ends its log, too, where that is a pipe
        self.process.wait()
        raise AssertionError(self.log.read_text())

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout_s: float = 60) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(timeout_s)

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def post(self, content: bytes, path: str = "/v1/predict", **more: Any) -> httpx.Response:
        return httpx.post(self.uri + path, content=content, timeout=120, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(self.uri + path, timeout=120, **more)

    @property
    def spooled(self) -> list[Path]:
        """What of requests lies on the disk."""
        return [path for path in self.spool.glob("*/*") if path.is_dir()]

    @property
    def resident_bytes(self) -> int:
        """Memory of the process now."""
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
