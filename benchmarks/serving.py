"""``segline serve`` under many clients, against the same model behind MONAI's stack, one request at a time.

    python -m benchmarks.serving MODEL --clients 200 --seconds 60
    python -m benchmarks.serving TASK --store STORE --soak 10

The first form asks a server of a package from many clients at once, for so long; who is told 429 or 503
waits as long as ``Retry-After`` says. Then MONAI's stack (see :mod:`benchmarks.inference`) answers the same
cases in one process, one after another, as a server that takes one request at a time does, spared HTTP and
the writing of uploads. Printed are the latencies of answers, volumes a minute of both and their ratio,
statuses, and the server's memory.

The second form follows ``TASK@champion`` in a registry of two versions or more, behind an MLflow server of
its own, for so many minutes: the alias moves five times between the two newest, and the registry is killed
once. Every mask is held against what ``segline predict`` writes by the version that the answer names.
"""

import argparse
import asyncio
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from segline.data.phantom.scanner import phantom_case
from segline.imaging.files import write_volume
from segline.machine.processor import processor_name
from segline.model.package import Model

Expected = Mapping[tuple[str, int], bytes]
"""The mask of each version and case."""
CASES = 6
SEED = 99
MOVES = 5
LONGEST_START_S = 120
BACKEND = "openvino"


@dataclass
class Load:
    """What many clients were answered."""

    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    lost: int = 0
    seconds: float = 0.0
    resident_mb: list[float] = field(default_factory=list)

    @property
    def a_minute(self) -> float:
        """Volumes that were answered."""
        return 60 * len(self.latencies_s) / self.seconds

    def told(self) -> str:
        """On a few lines."""
        cuts = statistics.quantiles(self.latencies_s, n=100)
        fifth = max(1, len(self.resident_mb) // 5)
        early, late = self.resident_mb[fifth : 2 * fifth], self.resident_mb[-fifth:]
        answers = len(self.latencies_s)
        return (
            f"  {answers} answers in {self.seconds:.0f} s, {self.a_minute:.0f} volumes a minute\n"
            f"  latency p50 {cuts[49]:.2f} s, p95 {cuts[94]:.2f} s, p99 {cuts[98]:.2f} s\n"
            f"  statuses {dict(sorted(self.statuses.items()))}, versions {dict(self.versions)}\n"
            f"  wrong answers {self.wrong}, lost requests {self.lost}\n"
            f"  resident memory {statistics.mean(early):.0f} MB in its second fifth, "
            f"{statistics.mean(late):.0f} MB in its last, {max(self.resident_mb):.0f} MB at most"
        )


class Server:
    """``segline serve`` in a process of its own."""

    def __init__(self, model: str, folder: Path, *more: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        command = [sys.executable, "-m", "segline.cli", "serve", model, "--port", str(port), "--quiet"]
        start = time.monotonic()
        self.log = folder / "serve.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, *more], stdout=log, stderr=log)
        wait_for(port, self.process)
        self.ready_s = time.monotonic() - start

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    @property
    def resident_mb(self) -> float:
        """Memory of the process now."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process listens."""
    end = time.monotonic() + LONGEST_START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit("a server did not start")


async def client(
    url: str,
    bodies: Sequence[bytes],
    expected: Expected,
    end: float,
    load: Load,
    seed: int,
) -> None:
    """Ask for one case after another until ``end``."""
    drawn = random.Random(seed)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:
        while time.monotonic() < end:
            case, start = drawn.randrange(len(bodies)), time.monotonic()
            try:
                async with session.post(f"{url}/v1/predict", data=bodies[case]) as response:
                    content = await response.read()
            except aiohttp.ClientError:
                load.lost += 1
                continue
            load.statuses[response.status] += 1
            if response.status == 200:
                version = response.headers["X-Segline-Model"]
                load.latencies_s.append(time.monotonic() - start)
                load.versions[version] += 1
                load.wrong += content != expected[version, case]
            elif response.status in (429, 503):
                await asyncio.sleep(float(response.headers["Retry-After"]) * drawn.uniform(0.5, 1.5))


async def pressed(
    server: Server,
    bodies: Sequence[bytes],
    expected: Expected,
    clients: int,
    seconds: float,
) -> Load:
    """Many clients at once, for so long."""
    load, start = Load(), time.monotonic()
    end = start + seconds
    asked = [client(server.url, bodies, expected, end, load, seed) for seed in range(clients)]

    async def watched() -> None:
        while time.monotonic() < end:
            load.resident_mb.append(server.resident_mb)
            await asyncio.sleep(0.5)

    await asyncio.gather(watched(), *asked)
    load.seconds = time.monotonic() - start
    return load


def predicted(model: str, images: Sequence[Path], folder: Path, *more: str) -> list[bytes]:
    """What ``segline predict`` writes."""
    masks = []
    for number, image in enumerate(images):
        mask = folder / f"{number}.nii.gz"
        command = [sys.executable, "-m", "segline.cli", "predict", model, str(image), "-o", str(mask)]
        subprocess.run([*command, "--backend", BACKEND, *more], check=True, stdout=subprocess.DEVNULL)
        masks.append(mask.read_bytes())
    return masks


def monai_a_minute(model: Model, images: Sequence[Path], folder: Path, seconds: float) -> float:
    """Volumes a minute of MONAI's stack, one after another."""
    from benchmarks.inference import MonaiStack
    from segline.networks.weights import load_network

    stack = MonaiStack(model.plan, load_network(model.weights, model.plan).eval())
    stack(images[0], folder)
    start, count = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        stack(images[count % len(images)], folder)
        count += 1
    return 60 * count / (time.monotonic() - start)


def compare(options: argparse.Namespace, images: Sequence[Path], folder: Path) -> None:
    """The first form."""
    place = Path(options.model)
    model = Model.open(place / "model" if (place / "model").is_dir() else place)
    masks = predicted(options.model, images, folder)
    bodies = [image.read_bytes() for image in images]
    queue = ["--backend", BACKEND, "--queue", str(options.queue), "--workers", str(options.workers)]
    with Server(options.model, folder, *queue) as server:
        version = f"{model.plan.task}:{model.digests()['weights.pt'][:12]}"
        expected = {(version, case): mask for case, mask in enumerate(masks)}
        print(f"ready after {server.ready_s:.1f} s")
        asyncio.run(pressed(server, bodies, expected, 1, 5))
        alone = asyncio.run(pressed(server, bodies, expected, 1, options.seconds / 3))
        print(f"1 client:\n{alone.told()}")
        load = asyncio.run(pressed(server, bodies, expected, options.clients, options.seconds))
        print(f"{options.clients} clients:\n{load.told()}")
    theirs = monai_a_minute(model, images, folder, options.seconds)
    print(f"MONAI's stack, one at a time: {theirs:.0f} volumes a minute; ratio {load.a_minute / theirs:.1f}")


async def soaked(options: argparse.Namespace, bodies: Sequence[bytes], folder: Path) -> None:
    """The second form, once its cases are known."""
    from segline.registry.versions import versions
    from segline.tracking.mlflow_connection import Registry

    port, database = free_port(), options.store.resolve() / "mlflow" / "mlflow.db"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{database}"]

    def started() -> subprocess.Popen[bytes]:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, start_new_session=True, **quiet)  # type: ignore[call-overload]
        wait_for(port, process)
        return process  # type: ignore[no-any-return]

    mlflow = started()
    registry = Registry(f"http://127.0.0.1:{port}")
    newest, before, *_ = versions(registry, options.model)
    images = sorted(folder.glob("ct_*.nii.gz"))
    tracked = ["--tracking", registry.uri, "--store", str(options.store)]
    expected = {
        (version.name, case): mask
        for version in (newest, before)
        for case, mask in enumerate(predicted(version.name, images, folder, *tracked))
    }
    seconds = 60 * options.soak

    async def disturbed() -> None:
        nonlocal mlflow
        for number in range(MOVES):
            await asyncio.sleep(seconds / (MOVES + 1))
            if number == MOVES // 2:
                os.killpg(mlflow.pid, signal.SIGKILL)
                print("the registry is killed", flush=True)
                await asyncio.sleep(20)
                mlflow = await asyncio.to_thread(started)
            version = before if number % 2 == 0 else newest
            await asyncio.to_thread(
                registry.client.set_registered_model_alias,
                f"segline-{options.model}",
                "champion",
                version.number,
            )
            print(f"{version.name} is the champion", flush=True)

    more = ["--backend", BACKEND, "--follow-seconds", "5", "--queue", str(options.queue), *tracked]
    try:
        with Server(f"{options.model}@champion", folder, *more) as server:
            pressing = pressed(server, bodies, expected, options.clients, seconds)
            load, _ = await asyncio.gather(pressing, disturbed())
            print(
                f"{options.soak:g} minutes, {options.clients} clients:\n{load.told()}\n"
                + server.log.read_text()
            )
    finally:
        os.killpg(mlflow.pid, signal.SIGKILL)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="package or run; with --soak a task")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--queue", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--soak", type=float, help="minutes")
    parser.add_argument("--store", type=Path, default=Path("store"))
    options = parser.parse_args()
    print(f"{processor_name()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        images = [folder / f"ct_{number}.nii.gz" for number in range(CASES)]
        for number, image in enumerate(images):
            write_volume(image, phantom_case(number, SEED)[0])
        if options.soak:
            asyncio.run(soaked(options, [image.read_bytes() for image in images], folder))
        else:
            compare(options, images, folder)


if __name__ == "__main__":
    main()
