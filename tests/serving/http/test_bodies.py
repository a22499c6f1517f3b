"""What strangers send: refused in one line of JSON, in bounded memory, and nothing of it stays."""

import gzip
import io
import shutil
import socket
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from ...waiting import wait_until
from ..conftest import SILENT_S, UPLOAD_MB
from ..server import Server

GB = 10**9


def header_of(*shape: int) -> bytes:
    """A NIfTI header that tells of such a volume."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header["dim"][: len(shape) + 1] = [len(shape), *shape]
    header["pixdim"][1:4] = 1
    header["vox_offset"] = 352
    header.set_sform(np.eye(4), 1)
    return header.binaryblock + b"\0" * 4


def bomb(head: bytes, unpacked: int) -> bytes:
    """``head`` and so many zeros, gzipped member by member."""
    block = 100_000_000
    zeros = gzip.compress(bytes(block), 9)
    return gzip.compress(head) + zeros * (unpacked // block)


def zip_of(name: str, content: bytes, mode: int = 0) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
        archive.writestr(entry, content)
    return stream.getvalue()


def zip_bomb() -> bytes:
    """A hundred files of 100 MB in 10 MB."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("0.dcm", bytes(100_000_000))
        first = archive.infolist()[0]
    raw = stream.getvalue()[: first.header_offset + 30 + len("0.dcm") + first.compress_size]
    return _many(raw, first, 100)


def _many(local: bytes, entry: zipfile.ZipInfo, count: int) -> bytes:
    """The same member under many names, whose directory all point at it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.fp.write(local)  # type: ignore[union-attr]
        archive.start_dir = len(local)
        for number in range(count):
            other = zipfile.ZipInfo(f"{number}.dcm")
            other.compress_type, other.CRC = entry.compress_type, entry.CRC
            other.file_size, other.compress_size = entry.file_size, entry.compress_size
            other.header_offset = 0
            archive.filelist.append(other)
        archive._didModify = True  # type: ignore[attr-defined]
    return stream.getvalue()


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (64, 64)).save(stream, "PNG")
    return stream.getvalue()


def noise() -> bytes:
    """What gzip makes no smaller."""
    return np.random.default_rng(0).bytes(2**19)


HOSTILE = {
    "gzip bomb of 10 GB": lambda: bomb(header_of(64, 64, 64), 10 * GB),
    "gzip bomb that says so": lambda: bomb(header_of(2000, 2000, 1250), 10 * GB),
    "gzip in gzip": lambda: gzip.compress(bomb(header_of(64, 64, 64), 10 * GB)),
    "header of 30000^3": lambda: header_of(30000, 30000, 30000),
    "four axes": lambda: header_of(64, 64, 16, 5) + bytes(2 * 64 * 64 * 16 * 5),
    "five axes": lambda: header_of(64, 64, 16, 1, 5) + bytes(2 * 64 * 64 * 16 * 5),
    "truncated": lambda: header_of(64, 64, 64) + bytes(1000),
    "truncated gzip": lambda: gzip.compress(header_of(64, 64, 64) + np.random.default_rng(0).bytes(2**19))[
        :-9000
    ],
    "picture": picture,
    "text": lambda: b"not a volume",
    "zip slip": lambda: zip_of("../../evil.dcm", b"x" * 200),
    "zip with a link": lambda: zip_of("link.dcm", b"/etc/passwd", 0o120777),
    "zip bomb": zip_bomb,
    "empty zip": lambda: b"PK\x05\x06" + bytes(18),
    "zip of text": lambda: zip_of("a.txt", b"hello"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_refused_in_one_line_and_the_next_request_is_answered(
    server: Server, ct: bytes, what: str
) -> None:
    server.post(ct)  # what the first one loads is not of the hostile one's
    before = server.resident_bytes
    response = server.post(HOSTILE[what]())
    assert 400 <= response.status_code < 500, response.text
    (line,) = response.text.splitlines()
    told = response.json()["error"]
    assert told and str(server.spool) not in line
    assert server.resident_bytes - before < 300e6
    assert server.post(ct).status_code == 200
    wait_until(lambda: not server.spooled)


def test_a_name_does_not_make_a_picture_a_volume(server: Server) -> None:
    response = server.post(picture(), headers={"X-Filename": "ct.nii.gz"})
    assert response.status_code == 422


def test_another_type_is_not_taken(server: Server, ct: bytes) -> None:
    response = server.post(ct, headers={"Content-Type": "text/html"})
    assert response.status_code == 415
    assert "application/octet-stream" in response.json()["error"]


@pytest.mark.parametrize("told", [True, False], ids=["with its length", "in chunks"])
def test_an_upload_of_a_gigabyte_is_refused_and_not_kept(server: Server, told: bool) -> None:
    size = 2**30

    def chunks() -> Iterator[bytes]:
        for _ in range(size >> 20):
            yield bytes(1 << 20)

    before = server.resident_bytes
    headers = {"Content-Length": str(size)} if told else {}
    response = httpx.post(f"{server.uri}/v1/predict", content=chunks(), headers=headers, timeout=120)
    assert response.status_code == 413
    assert f"more than the {UPLOAD_MB * 2**20 / 1e6:.0f} MB" in response.json()["error"]
    assert server.resident_bytes - before < 100e6
    wait_until(lambda: not server.spooled)


def test_a_form_that_is_none_is_refused(server: Server) -> None:
    for content in (b"", b"--x\r\nrubbish", b"--x--\r\n"):
        response = server.post(content, headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert response.status_code == 400
    assert server.post(b"x", headers={"Content-Type": "multipart/form-data"}).status_code == 400


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10 * SILENT_S)


def test_clients_that_dawdle_over_their_head_are_cut_off_and_hold_nobody_up(
    server: Server, ct: bytes
) -> None:
    slow = [connected(server) for _ in range(100)]
    for one in slow:
        one.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    assert server.post(ct).status_code == 200
    for one in slow:
        assert one.recv(1) == b""
        one.close()


def test_a_body_that_stops_coming_is_refused(server: Server) -> None:
    with connected(server) as slow:
        slow.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc")
        assert b" 408 " in slow.recv(4096)
    wait_until(lambda: not server.spooled)


def test_a_client_that_goes_away_leaves_nothing(server: Server, ct: bytes) -> None:
    with connected(server) as broken:
        head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ct)}\r\n\r\n"
        broken.sendall(head.encode() + ct[:1000])
        wait_until(lambda: server.spooled)
    wait_until(lambda: not server.spooled)
    with connected(server) as gone:
        gone.sendall(head.encode() + ct)
    wait_until(lambda: not server.spooled)


def test_nothing_of_what_was_sent_is_in_the_log(server: Server, ct: bytes) -> None:
    server.post(ct, "/v1/predict?patient=MUSTERMANN", headers={"X-Filename": "MUSTERMANN.nii.gz"})
    server.get("/v1/jobs/MUSTERMANN")
    server.get("/MUSTERMANN")
    time.sleep(0.1)
    assert "MUSTERMANN" not in server.log.read_text()


def test_no_test_left_the_server_a_file_elsewhere(server: Server, tmp_path: Path) -> None:
    assert not list(Path(tmp_path).parents[1].glob("evil*"))
    assert not list(server.spool.parent.glob("evil*"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_pages_curl_is_understood(server: Server, ct_file: Path, ct: bytes, tmp_path: Path) -> None:
    mask = tmp_path / "mask.nii.gz"
    command = ["curl", "-fsS", "--data-binary", f"@{ct_file}", f"{server.uri}/v1/predict", "-o", str(mask)]
    subprocess.run(command, check=True)
    assert mask.read_bytes() == server.post(ct).content
