"""Where data sets come from, against a real HTTP server on the loopback interface."""

import bz2
import hashlib
import lzma
import os
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.data.sources import download, fetch, fetch_archive

CONTENT = os.urandom(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class FileServer(ThreadingHTTPServer):
    """Serves ``files`` with byte ranges; cuts the connection after ``cut_after`` bytes of an answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RangeHandler)
        self.files: dict[str, bytes] = {"/data.bin": CONTENT}
        self.cut_after: int | None = None
        self.ignore_ranges = False
        self.starts: list[int] = []

    def url(self, path: str = "/data.bin") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class RangeHandler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range") if not self.server.ignore_ranges else None
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.server.starts.append(start)
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        end = len(content) if self.server.cut_after is None else start + self.server.cut_after
        self.wfile.write(content[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive as the Decathlon's: one top folder."""
    folder = tmp_path / "made" / "Task09_Spleen"
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text("{}")
    path = tmp_path / "Task09_Spleen.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(folder, "Task09_Spleen")
    return path


def refusal(source: str, store: Path) -> str:
    with pytest.raises(SeglineError) as caught:
        fetch(source, store)
    return str(caught.value)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_download_gives_the_file(server: FileServer, tmp_path: Path) -> None:
    download(server.url(), tmp_path / "new" / "data.bin", MD5)
    assert (tmp_path / "new" / "data.bin").read_bytes() == CONTENT
    assert files_below(tmp_path) == ["new/data.bin"]


def test_a_cut_download_continues_where_it_stopped(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = 1_300_000
    download(server.url(), tmp_path / "data.bin", MD5)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert server.starts == [0, 1_300_000, 2_600_000]


def test_a_download_tells_its_progress(server: FileServer, tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    download(server.url(), tmp_path / "data.bin", MD5, lambda done, words: told.append((done, words)))
    assert told == sorted(told)
    assert told[-1] == (1.0, "data.bin: 3 of 3 MB")


def test_a_download_of_an_earlier_run_continues(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:2_000_000])
    download(server.url(), tmp_path / "data.bin", MD5)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert server.starts == [2_000_000]


def test_a_part_that_is_whole_already_is_taken(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    download(server.url(), tmp_path / "data.bin", MD5)
    assert files_below(tmp_path) == ["data.bin"]


def test_a_server_without_ranges_starts_over(server: FileServer, tmp_path: Path) -> None:
    server.ignore_ranges = True
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:2_000_000])
    download(server.url(), tmp_path / "data.bin", MD5)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT


def test_a_connection_that_brings_nothing_is_told_and_the_part_kept(
    server: FileServer, tmp_path: Path
) -> None:
    server.cut_after = 0
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:1000])
    with pytest.raises(SeglineError, match=r"cannot be downloaded .* run again to go on"):
        download(server.url(), tmp_path / "data.bin", MD5)
    assert (tmp_path / "data.bin.part").stat().st_size == 1000


def test_a_file_that_is_here_is_not_downloaded_again(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    download(server.url(), tmp_path / "data.bin", MD5)
    assert server.starts == []


def test_another_md5_is_told_and_nothing_kept(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match=f"expected MD5 {'0' * 32}, got {MD5}"):
        download(server.url(), tmp_path / "data.bin", "0" * 32)
    assert files_below(tmp_path) == []


def test_a_missing_file_is_told(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match="the server answers 404"):
        download(server.url("/other"), tmp_path / "data.bin", MD5)
    assert files_below(tmp_path) == []


def test_a_refused_connection_is_told(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/data.bin"
        with pytest.raises(SeglineError, match="Connection refused"):
            download(url, tmp_path / "data.bin", MD5)
    assert files_below(tmp_path) == []


def test_a_task_is_downloaded_unpacked_and_its_archive_dropped(
    server: FileServer, archive: Path, tmp_path: Path
) -> None:
    server.files["/Task09_Spleen.tar"] = archive.read_bytes()
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    for _ in range(2):
        folder = fetch_archive(server.url("/Task09_Spleen.tar"), md5, "Task09_Spleen", tmp_path / "store")
        assert folder == tmp_path / "store/datasets/Task09_Spleen"
    assert files_below(tmp_path / "store") == [
        "datasets/Task09_Spleen/dataset.json",
        "locks/Task09_Spleen.lock",
    ]
    assert server.starts == [0]


def test_two_workers_download_a_task_once(server: FileServer, archive: Path, tmp_path: Path) -> None:
    server.files["/a.tar"] = archive.read_bytes()
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    arguments = (server.url("/a.tar"), md5, "a", tmp_path / "store")
    workers = [threading.Thread(target=fetch_archive, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (tmp_path / "store/datasets/a/dataset.json").is_file()
    assert server.starts == [0]


def test_a_damaged_archive_leaves_no_data_set(server: FileServer, archive: Path, tmp_path: Path) -> None:
    damaged = archive.read_bytes()[:700]
    server.files["/a.tar"] = damaged
    with pytest.raises(SeglineError, match="truncated or damaged"):
        fetch_archive(server.url("/a.tar"), hashlib.md5(damaged).hexdigest(), "a", tmp_path / "store")
    assert not (tmp_path / "store/datasets").exists()


def test_an_unknown_task_is_told(tmp_path: Path) -> None:
    assert "Task09_Spleen" in refusal("msd:Task99_Toe", tmp_path)
    assert "write ./Task99_Toe for a folder" in refusal("Task99_Toe", tmp_path)


def test_a_phantom_is_made_once(tmp_path: Path) -> None:
    folder = fetch("phantom:1:7", tmp_path)
    assert folder.parent == tmp_path / "datasets" and folder.name.startswith("phantom-1-7-v")
    before = (folder / "dataset.json").stat().st_mtime_ns
    assert fetch("phantom:1:7", tmp_path) == folder
    assert (folder / "dataset.json").stat().st_mtime_ns == before


def test_a_heart_phantom_is_kept_by_cases_seed_and_scale(tmp_path: Path) -> None:
    folder = fetch("phantom-heart:2:7:0.1", tmp_path)
    assert folder.name.startswith("phantom-heart-2-7-0.1-v")
    assert len(list((folder / "imagesTr").iterdir())) == 2
    assert fetch("phantom-heart:2:7:0.1", tmp_path) == folder
    assert "a scale of 0.1 to 1" in refusal("phantom-heart:1:0:3", tmp_path)


def test_a_folder_is_used_in_place(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert fetch(str(tmp_path / "mine"), tmp_path / "store") == tmp_path / "mine"
    assert fetch(f"file://{tmp_path}/mine", tmp_path / "store") == tmp_path / "mine"
    assert not (tmp_path / "store").exists()


def test_a_relative_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Task09_Spleen").mkdir()
    monkeypatch.chdir(tmp_path)
    assert fetch("./Task09_Spleen", tmp_path / "store") == tmp_path / "Task09_Spleen"


def test_a_local_archive_is_unpacked_once_under_its_content(archive: Path, tmp_path: Path) -> None:
    folder = fetch(str(archive), tmp_path / "store")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert folder == tmp_path / f"store/datasets/Task09_Spleen-{sha256[:12]}"
    assert (folder / "dataset.json").is_file() and archive.is_file()
    assert fetch(str(archive), tmp_path / "store") == folder


@pytest.mark.parametrize("name", ["Task09_Spleen.zip", "Task09_Spleen.TAR.XZ", "Task09_Spleen.tbz2"])
def test_an_archive_of_any_format_is_a_source(archive: Path, tmp_path: Path, name: str) -> None:
    other = tmp_path / name
    if name.endswith("zip"):
        with zipfile.ZipFile(other, "w") as opened:
            opened.writestr("README.txt", "beside")
            opened.writestr("Task09_Spleen/dataset.json", "{}")
    else:
        compress = lzma.compress if name.endswith("XZ") else bz2.compress
        other.write_bytes(compress(archive.read_bytes()))
    folder = fetch(str(other), tmp_path / "store")
    assert folder.name.startswith("Task09_Spleen-") and files_below(folder) == ["dataset.json"]


def test_an_archive_whose_name_fills_the_file_system_is_unpacked(archive: Path, tmp_path: Path) -> None:
    for name in ("n" * 251, "ä" * 125):
        folder = fetch(str(archive.rename(tmp_path / f"{name}.tar")), tmp_path / "store")
        assert (folder / "dataset.json").is_file()
        archive = tmp_path / f"{name}.tar"


def test_a_name_longer_than_the_file_system_takes_is_no_source(tmp_path: Path) -> None:
    assert "no such data source" in refusal("n" * 300 + ".tar", tmp_path)


@pytest.mark.parametrize(
    "source",
    ["", "nowhere", "phantom:", "phantom:x", "phantom-heart:x", "msd:", "https://host/a.tar", "a.zip"],
)
def test_what_is_not_understood_lists_what_is(tmp_path: Path, source: str) -> None:
    told = refusal(source, tmp_path)
    assert told.startswith(f"'{source}': no such data source")
    for word in ("phantom", "Task09_Spleen", "dataset.json", ".zip", ".tar.gz", ".tar.xz", ".tbz2", "s3://"):
        assert word in told


def test_a_store_that_cannot_be_written_is_told(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refusal(str(archive), tmp_path / "file")
