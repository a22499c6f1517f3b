"""The object store: the same behaviour in a folder and on a real S3 server."""

import hashlib
import os
import pickle
import resource
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from segline.common.errors import SeglineError
from segline.storage.store import FOLDER_MARKER, FolderContents, Store, open_store

from ..s3_server import S3Server, see_the_disk

FILES = {"plan.json": b"{}", "cases/a/image.npy": os.urandom(300_000), "cases/empty": b""}


@pytest.fixture(params=["file", "s3"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Path]]:
    """An empty store, and the folder in which its objects lie."""
    if request.param == "file":
        yield open_store(f"file://{tmp_path / 'kept'}"), tmp_path / "kept"
        return
    server: S3Server = request.getfixturevalue("s3_server")
    folder = server.bucket("store")
    yield open_store("s3://store/pre/fix", server.settings), folder / "pre/fix"
    shutil.rmtree(folder)


@pytest.fixture
def store(places: tuple[Store, Path]) -> Store:
    return places[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to store."""
    for name, content in FILES.items():
        write(tmp_path / "made" / name, content)
    return tmp_path / "made"


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    see_the_disk()
    return path


def rot(path: Path) -> None:
    """Change a byte as a failing disk does: nothing but a checksum tells."""
    before = path.stat()
    with path.open("r+b") as stream:
        first = stream.read(1)
        stream.seek(0)
        stream.write(bytes([first[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    see_the_disk()


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def keys(store: Store) -> list[str]:
    return [item.key for item in store.listed()]


@pytest.mark.parametrize("size", [0, 1, 20_000_000])
def test_a_file_comes_back_as_it_was(store: Store, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    store.put_file(write(tmp_path / "in.bin", content), "a/b.bin")
    store.get_file("a/b.bin", tmp_path / "new" / "out.bin")
    assert files_of(tmp_path / "new") == {"out.bin": content}


def test_an_object_is_described(store: Store) -> None:
    store.write("a/b", b"hello")
    found = store.stat("a/b")
    assert found is not None
    assert (found.key, found.size_bytes, found.sha256) == ("a/b", 5, hashlib.sha256(b"hello").hexdigest())
    assert found.modified.tzinfo is not None
    store.write("a/b", b"Hello, world")
    changed = store.stat("a/b")
    assert changed is not None and changed.etag != found.etag


def test_what_is_not_there_is_none_or_told(store: Store, tmp_path: Path) -> None:
    store.write("a/b", b"")
    assert store.stat("a") is None and store.stat("a/b/c") is None and store.contents("a") is None
    for act in (lambda: store.read("x"), lambda: store.get_file("x", tmp_path / "x")):
        with pytest.raises(SeglineError, match=f"^{store.uri}/x: there is no such object"):
            act()
    assert not (tmp_path / "x").exists()


def test_small_objects_are_read_and_replaced(store: Store) -> None:
    store.write("a", b"one")
    store.write("a", b"two")
    assert store.read("a") == b"two"


def test_objects_are_listed_below_the_store_alone(store: Store) -> None:
    for key in ("b/2", "b/1", "a", "bc/1"):
        store.write(key, b"x")
    assert keys(store) == ["a", "b/1", "b/2", "bc/1"]
    assert keys(store / "b") == ["1", "2"]
    assert keys(store / "nothing") == []
    assert (store / "b").uri == f"{store.uri}/b"


def test_a_deleted_object_is_gone_and_may_be_deleted_again(store: Store) -> None:
    store.write("a/b", b"x")
    store.delete("a/b")
    store.delete("a/b")
    assert keys(store) == []


def test_a_key_is_created_once(store: Store) -> None:
    assert store.create("lease", b"mine")
    assert not store.create("lease", b"yours")
    assert store.create("lease", b"mine")
    assert store.read("lease") == b"mine"


def test_one_of_many_creates_a_file(tmp_path: Path) -> None:
    store, told = open_store(str(tmp_path)), []
    threads = [
        threading.Thread(target=lambda owner: told.append(store.create("lease", owner)), args=(b"%d" % n,))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False] * 15 + [True]
    assert keys(store) == ["lease"]


@pytest.mark.parametrize("key", ["", "/etc/passwd", "a/../../b", ".."])
def test_a_key_cannot_lead_out_of_the_store(store: Store, key: str) -> None:
    with pytest.raises(SeglineError, match="leads out"):
        store.write(key, b"x")


def test_a_damaged_object_is_told_and_not_kept(places: tuple[Store, Path], tmp_path: Path) -> None:
    store, folder = places
    store.write("a", b"content")
    rot(folder / "a")
    for act in (lambda: store.read("a"), lambda: store.get_file("a", tmp_path / "new" / "a")):
        with pytest.raises(SeglineError, match=f"^{store.uri}/a: damaged, its SHA-256 is"):
            act()
    assert files_of(tmp_path / "new") == {}


def test_an_object_of_another_tool_has_no_digest_and_is_read(
    places: tuple[Store, Path], tmp_path: Path
) -> None:
    store, folder = places
    write(folder / "a/theirs", b"hello")
    found = store.stat("a/theirs")
    assert found is not None and found.sha256 is None
    store.get_file("a/theirs", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == store.read("a/theirs") == b"hello"


def test_a_folder_comes_back_as_it_was(store: Store, folder: Path, tmp_path: Path) -> None:
    told: list[float] = []
    store.put_folder(folder, "models/1", lambda done, _: told.append(done))
    store.get_folder("models/1", tmp_path / "new" / "got", lambda done, _: told.append(done))
    assert files_of(tmp_path / "new") == {f"got/{name}": content for name, content in FILES.items()}
    assert told == pytest.approx([1 / 3, 2 / 3, 1] * 2)


def test_contents_are_told_without_fetching(store: Store, folder: Path) -> None:
    store.put_folder(folder, "m")
    contents = store.contents("m")
    assert contents is not None
    assert {name: file.size_bytes for name, file in contents.files.items()} == {
        name: len(content) for name, content in FILES.items()
    }


def test_a_folder_without_its_marker_is_not_there(store: Store, folder: Path, tmp_path: Path) -> None:
    store.put_folder(folder, "m")
    store.delete(f"m/{FOLDER_MARKER}")
    assert store.contents("m") is None and store.folders() == []
    with pytest.raises(SeglineError, match=f"^{store.uri}/m: there is no such folder, or it is not whole"):
        store.get_folder("m", tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_files_that_are_stored_already_are_not_sent_again(
    places: tuple[Store, Path], folder: Path, tmp_path: Path
) -> None:
    store, kept = places
    store.put_folder(folder, "m")
    before = {name: (kept / "m" / name).stat().st_mtime_ns for name in FILES}
    store.delete(f"m/{FOLDER_MARKER}")
    store.write("m/plan.json", b"[]")
    store.put_folder(folder, "m")
    after = {name: (kept / "m" / name).stat().st_mtime_ns for name in FILES}
    assert [name for name in FILES if after[name] != before[name]] == ["plan.json"]
    store.get_folder("m", tmp_path / "got")
    assert files_of(tmp_path / "got") == FILES


def test_a_whole_folder_is_not_stored_again(places: tuple[Store, Path], folder: Path) -> None:
    store, kept = places
    store.put_folder(folder, "m")
    before = (kept / "m" / FOLDER_MARKER).stat().st_mtime_ns
    store.put_folder(folder, "m")
    assert (kept / "m" / FOLDER_MARKER).stat().st_mtime_ns == before


def test_another_folder_replaces_one_wholly(store: Store, folder: Path, tmp_path: Path) -> None:
    store.put_folder(folder, "m")
    (folder / "plan.json").unlink()
    write(folder / "new", b"new")
    store.put_folder(folder, "m")
    store.get_folder("m", tmp_path / "got")
    assert files_of(tmp_path / "got") == files_of(folder)
    assert keys(store / "m") == [FOLDER_MARKER, "cases/a/image.npy", "cases/empty", "new"]


def test_a_folder_with_a_damaged_file_is_told_and_nothing_kept(
    places: tuple[Store, Path], folder: Path, tmp_path: Path
) -> None:
    store, kept = places
    store.put_folder(folder, "m")
    write(kept / "m/cases/a/image.npy", bytes(300_000))
    with pytest.raises(SeglineError, match=r"m/cases/a/image.npy: damaged"):
        store.get_folder("m", tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_files_that_were_fetched_already_are_kept(store: Store, folder: Path, tmp_path: Path) -> None:
    store.put_folder(folder, "m")
    write(tmp_path / "new/.got.part/plan.json", b"{}")
    before = (tmp_path / "new/.got.part/plan.json").stat().st_mtime_ns
    write(tmp_path / "new/.got.part/cases/a/image.npy", b"half")
    write(tmp_path / "new/.got.part/of an older folder", b"")
    store.get_folder("m", tmp_path / "new" / "got")
    assert files_of(tmp_path / "new") == {f"got/{name}": content for name, content in FILES.items()}
    assert (tmp_path / "new/got/plan.json").stat().st_mtime_ns == before


def test_a_folder_that_is_here_is_checked(store: Store, folder: Path, tmp_path: Path) -> None:
    store.put_folder(folder, "m")
    store.get_folder("m", tmp_path / "got")
    store.get_folder("m", tmp_path / "got")
    write(tmp_path / "got/plan.json", b"[]")
    with pytest.raises(SeglineError, match=r"got: holds something else than .*m; remove it"):
        store.get_folder("m", tmp_path / "got")


def test_many_may_fetch_a_folder_to_one_place(store: Store, folder: Path, tmp_path: Path) -> None:
    store.put_folder(folder, "m")
    errors: list[Exception] = []

    def fetch() -> None:
        try:
            store.get_folder("m", tmp_path / "new" / "got")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert files_of(tmp_path / "new") == {f"got/{name}": content for name, content in FILES.items()}


def test_whole_folders_are_listed_with_size_and_age(store: Store, folder: Path) -> None:
    for key in ("b", "a/1"):
        store.put_folder(folder, key)
    store.write("c/half/file", b"x")
    found = store.folders()
    assert [item.key for item in found] == ["a/1", "b"]
    marker = store.stat(f"b/{FOLDER_MARKER}")
    assert marker is not None
    assert found[1].size_bytes == 300_002 + marker.size_bytes
    assert abs((found[1].modified - marker.modified).total_seconds()) < 1


def test_a_deleted_folder_is_gone(store: Store, folder: Path) -> None:
    store.put_folder(folder, "a")
    store.put_folder(folder, "ab")
    store.delete_folder("a")
    store.delete_folder("a")
    assert [item.key for item in store.folders()] == ["ab"]
    assert keys(store / "a") == []


def test_a_folder_whose_list_leads_out_of_it_is_refused(store: Store, tmp_path: Path) -> None:
    contents = FolderContents.model_validate({"files": {"../out": {"size_bytes": 1, "sha256": "0"}}})
    store.write(f"m/{FOLDER_MARKER}", contents.model_dump_json().encode())
    store.write("out", b"x")
    with pytest.raises(SeglineError, match="leads out"):
        store.get_folder("m", tmp_path / "new" / "got")
    assert not (tmp_path / "new/out").exists()


def test_a_folder_whose_list_is_damaged_is_told(store: Store) -> None:
    store.write(f"m/{FOLDER_MARKER}", b"{")
    with pytest.raises(SeglineError, match="damaged list of files"):
        store.contents("m")


def test_a_missing_folder_or_file_is_not_stored(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SeglineError, match="no such folder"):
        store.put_folder(tmp_path / "absent", "m")
    with pytest.raises(SeglineError, match="there is no such object"):
        store.put_file(tmp_path / "absent", "m")


def test_a_store_goes_to_another_process(store: Store) -> None:
    store.write("a", b"x")
    there: Store = pickle.loads(pickle.dumps(store))
    assert there.uri == store.uri and there.read("a") == b"x"


@contextmanager
def files_up_to(size_bytes: int) -> Iterator[None]:
    """Let this process write no larger file, as a full disk would not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_is_told_and_nothing_kept(store: Store, tmp_path: Path) -> None:
    store.put_file(write(tmp_path / "in", bytes(3_000_000)), "big")
    told = r"big: cannot be read or written .File too large"
    with files_up_to(1_000_000), pytest.raises(SeglineError, match=told):
        store.get_file("big", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_could_not_be_stored_whole_is_not_there(folder: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "kept"))
    with files_up_to(100_000), pytest.raises(SeglineError, match="File too large"):
        store.put_folder(folder, "m")
    assert store.contents("m") is None
    store.put_folder(folder, "m")
    assert store.contents("m") is not None


def test_a_path_and_a_file_uri_are_the_same_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for uri in ("kept", f"{tmp_path}/kept/", f"file://{tmp_path}/kept"):
        assert open_store(uri).uri == f"file://{tmp_path}/kept"


@pytest.mark.parametrize("uri", ["", "ftp://host/a", "gs://bucket"])
def test_another_kind_of_uri_is_told(uri: str) -> None:
    with pytest.raises(SeglineError, match="no such store; give s3://"):
        open_store(uri)


def test_s3_without_settings_is_told() -> None:
    with pytest.raises(SeglineError, match=r"^s3://bucket/a: no credentials"):
        open_store("s3://bucket/a")


def test_half_written_files_are_not_listed(tmp_path: Path) -> None:
    write(tmp_path / "a/.writing-x.npy", b"half")
    write(tmp_path / ".writing-y/object", b"half")
    assert keys(open_store(str(tmp_path))) == []
