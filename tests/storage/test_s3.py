"""Objects on a real S3 server (rclone), with the server killed and the way to it bad."""

import os
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segline.common.errors import SeglineError
from segline.storage.s3_settings import S3Settings
from segline.storage.store import FOLDER_MARKER, Store, open_store

from ..s3_server import ACCESS_KEY, SECRET_KEY, BadWay, S3Server, free_port, see_the_disk

CONTENT = os.urandom(3_000_000)


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[Path]:
    with s3_server.lent("faults") as folder:
        yield folder


@pytest.fixture
def way(s3_server: S3Server, bucket: Path) -> Iterator[BadWay]:
    """A way to the server on which there is an object ``big`` of 3 MB."""
    (bucket.parent / "big").write_bytes(CONTENT)
    open_store("s3://faults", s3_server.settings).put_file(bucket.parent / "big", "big")
    with BadWay(s3_server) as way:
        yield way


def store_at(settings: S3Settings, **changes: Any) -> Store:
    return open_store("s3://faults", replace(settings, **changes))


def refusal(store: Store) -> str:
    """What a store tells that must fail at once, though it has patience for minutes."""
    started = time.monotonic()
    with pytest.raises(SeglineError) as caught:
        store.read("a")
    assert time.monotonic() - started < 20
    assert str(caught.value).startswith("s3://") and SECRET_KEY not in str(caught.value)
    return str(caught.value)


def many_files(folder: Path, count: int, size: int) -> dict[str, bytes]:
    folder.mkdir()
    files = {f"{number:03}.npy": os.urandom(size) for number in range(count)}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return files


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("wrong", [{"access_key": "AKIAWRONGWRONGWRONG1"}, {"secret_key": "wrong" * 8}])
def test_wrong_keys_fail_at_once(s3_server: S3Server, wrong: dict[str, str]) -> None:
    assert "check AWS_" in refusal(store_at(s3_server.settings, patience_s=120, **wrong))


def test_a_missing_bucket_fails_at_once(s3_server: S3Server) -> None:
    told = refusal(open_store("s3://absent", replace(s3_server.settings, patience_s=120)))
    assert "there is no such bucket" in told


def test_tls_with_a_server_that_has_none_fails_at_once(s3_server: S3Server) -> None:
    assert "cannot use" in refusal(store_at(s3_server.settings, patience_s=120, secure=True))


@pytest.mark.parametrize(
    ("code", "words"),
    [("AccessDenied", "access denied"), ("XMinioStorageFull", "no space left in the object store")],
)
def test_refusals_of_the_server_fail_at_once(way: BadWay, code: str, words: str) -> None:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    head = b"HTTP/1.1 %d No\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n"
    way.answer = head % (507 if "Full" in code else 403, len(body)) + body
    assert words in refusal(store_at(way.settings, patience_s=120))


def test_a_server_that_stays_away_is_told_after_the_patience(s3_server: S3Server) -> None:
    nowhere = store_at(s3_server.settings, endpoint=f"127.0.0.1:{free_port()}", patience_s=1)
    started = time.monotonic()
    with pytest.raises(SeglineError, match=r"after 1 s of trying \(\[Errno 111\] Connection refused\)"):
        nowhere.write("a", b"x")
    assert 1 <= time.monotonic() - started < 10


def test_a_failing_server_is_asked_again(way: BadWay) -> None:
    way.answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def mend() -> None:
        time.sleep(0.8)
        way.answer = None

    mending = threading.Thread(target=mend)
    mending.start()
    assert store_at(way.settings).read("big") == CONTENT
    mending.join()
    assert len(way.asked) > 2


def test_a_cut_download_continues_where_it_stopped(way: BadWay, tmp_path: Path) -> None:
    way.cut_after = [1_300_000, 1_200_000]
    store_at(way.settings).get_file("big", tmp_path / "new" / "big")
    assert files_of(tmp_path / "new") == {"big": CONTENT}
    first, second = way.ranges()
    assert 1_200_000 < first < 1_300_000 and 2_400_000 < second < 2_500_000


def test_a_download_of_an_earlier_run_continues(way: BadWay, tmp_path: Path) -> None:
    store = store_at(way.settings)
    found = store.stat("big")
    assert found is not None
    (tmp_path / "new/.big.part").mkdir(parents=True)
    (tmp_path / "new/.big.part" / found.etag).write_bytes(CONTENT[:2_000_000])
    store.get_file("big", tmp_path / "new" / "big")
    assert files_of(tmp_path / "new") == {"big": CONTENT}
    assert way.ranges() == [1_999_999]


@pytest.mark.parametrize("size", [1_000, 4_000_000])
def test_a_part_of_another_content_is_dropped(way: BadWay, tmp_path: Path, size: int) -> None:
    (tmp_path / "new/.big.part").mkdir(parents=True)
    (tmp_path / "new/.big.part/0123").write_bytes(bytes(size))
    store_at(way.settings).get_file("big", tmp_path / "new" / "big")
    assert files_of(tmp_path / "new") == {"big": CONTENT}


def test_a_part_that_was_damaged_here_is_fetched_again(way: BadWay, tmp_path: Path) -> None:
    store = store_at(way.settings)
    found = store.stat("big")
    assert found is not None
    (tmp_path / ".big.part").mkdir()
    (tmp_path / ".big.part" / found.etag).write_bytes(bytes(2_000_000))
    store.get_file("big", tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == CONTENT


def test_answers_cut_for_ever_are_told_and_the_part_is_kept(way: BadWay, tmp_path: Path) -> None:
    store = store_at(way.settings, patience_s=0.5)
    way.cut_after = [1_000_000, *[100] * 50]
    with pytest.raises(SeglineError, match=r"big: cannot use .* after 0.5 s of trying"):
        store.get_file("big", tmp_path / "big")
    (part,) = (tmp_path / ".big.part").iterdir()
    assert 0 < part.stat().st_size < 1_000_000 and not (tmp_path / "big").exists()


def test_a_slow_server_is_waited_for(way: BadWay, tmp_path: Path) -> None:
    way.bytes_per_s = 2_000_000
    store_at(way.settings, patience_s=0.5).get_file("big", tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == CONTENT


def test_a_new_object_is_asked_for_on_condition(way: BadWay) -> None:
    store = store_at(way.settings)
    assert store.create("lease", b"mine")
    assert any(b"if-none-match: *" in piece.lower() for piece in way.asked)


def test_a_store_that_knows_conditions_refuses_the_second(way: BadWay) -> None:
    way.answer_to = b"PUT "
    way.answer = b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    assert not store_at(way.settings).create("lease", b"mine")


@pytest.mark.heavy
def test_a_server_killed_amid_an_upload_is_waited_for(tmp_path: Path) -> None:
    with S3Server(tmp_path / "buckets") as server:
        (tmp_path / "buckets/faults").mkdir(parents=True)
        see_the_disk()
        files = many_files(tmp_path / "in", 60, 1_000_000)
        store = store_at(server.settings)
        sent: list[float] = []
        killing = threading.Thread(target=kill_and_start, args=(server, sent))
        killing.start()
        store.put_folder(tmp_path / "in", "m", lambda done, _: sent.append(done))
        killing.join()
        store.get_folder("m", tmp_path / "out")
    assert files_of(tmp_path / "out") == files


def kill_and_start(server: S3Server, sent: list[float], away_s: float = 2) -> None:
    while len(sent) < 5:
        time.sleep(0.01)
    server.kill()
    at_the_kill = len(sent)
    time.sleep(away_s)
    assert len(sent) <= at_the_kill + 8 < 60, "the upload was over before the server was killed"
    server.start()


@pytest.mark.heavy
def test_a_server_killed_amid_one_big_file_is_waited_for(tmp_path: Path) -> None:
    content = os.urandom(80_000_000)
    (tmp_path / "big").write_bytes(content)
    with S3Server(tmp_path / "buckets") as server, BadWay(server) as way:
        (tmp_path / "buckets/faults").mkdir(parents=True)
        see_the_disk()
        store = store_at(way.settings)
        uploading = threading.Thread(target=store.put_file, args=(tmp_path / "big", "big"))
        uploading.start()
        while len(way.asked) < 300:
            time.sleep(0.01)
        server.kill()
        assert uploading.is_alive()
        time.sleep(1)
        server.start()
        uploading.join()
        store.get_file("big", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content


def test_an_interrupted_upload_of_a_folder_goes_on_after_the_server_was_started_again(tmp_path: Path) -> None:
    with S3Server(tmp_path / "buckets") as server:
        (tmp_path / "buckets/faults").mkdir(parents=True)
        see_the_disk()
        files = many_files(tmp_path / "in", 5, 1000)
        store = store_at(server.settings)
        store.put_folder(tmp_path / "in", "m")
        store.delete(f"m/{FOLDER_MARKER}")
        before = {name: (tmp_path / "buckets/faults/m" / name).stat().st_mtime_ns for name in files}
        server.kill()
        server.start()
        store.put_folder(tmp_path / "in", "m")
        after = {name: (tmp_path / "buckets/faults/m" / name).stat().st_mtime_ns for name in files}
    assert before == after


def test_the_prefix_alone_is_listed(s3_server: S3Server, bucket: Path) -> None:
    store = store_at(s3_server.settings)
    store.write("a/b", b"x")
    (bucket / "ab").mkdir()
    assert [item.key for item in (store / "a").listed()] == ["b"]


def test_settings_come_from_the_usual_variables() -> None:
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    aws = S3Settings("s3.amazonaws.com", ACCESS_KEY, SECRET_KEY, "us-east-1", secure=True)
    assert S3Settings.from_environment(keys) == aws
    minio = S3Settings.from_environment({**keys, "S3_ENDPOINT": "http://minio:9000", "AWS_REGION": "eu"})
    assert minio == S3Settings("minio:9000", ACCESS_KEY, SECRET_KEY, "eu", secure=False)
    named = S3Settings.from_environment({**keys, "AWS_ENDPOINT_URL": "https://store:443/"})
    assert named == replace(aws, endpoint="store:443")
    assert S3Settings.from_environment({**keys, "S3_PATIENCE_S": "5"}) == replace(aws, patience_s=5)


def test_a_patience_that_is_no_number_is_an_error() -> None:
    with pytest.raises(SeglineError, match="S3_PATIENCE_S=long: give a number"):
        S3Settings.from_environment(
            {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "S3_PATIENCE_S": "long"}
        )


def test_no_keys_are_no_settings_and_one_key_is_an_error() -> None:
    assert S3Settings.from_environment({"S3_ENDPOINT": "http://minio:9000"}) is None
    with pytest.raises(SeglineError, match="set both"):
        S3Settings.from_environment({"AWS_ACCESS_KEY_ID": ACCESS_KEY})


def test_the_secret_is_not_shown() -> None:
    assert SECRET_KEY not in repr(S3Settings("minio:9000", ACCESS_KEY, SECRET_KEY))


def test_a_document_without_end_is_not_taken_into_memory(s3_server: S3Server, bucket: Path) -> None:
    (bucket / "a").touch()
    os.truncate(bucket / "a", 1 << 30)
    see_the_disk()
    store = store_at(s3_server.settings)
    tracemalloc.start()
    try:
        with pytest.raises(SeglineError, match="too large for what is read at once"):
            store.read("a")
        assert tracemalloc.get_traced_memory()[1] < 1 << 29
    finally:
        tracemalloc.stop()
