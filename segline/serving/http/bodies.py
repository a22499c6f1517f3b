"""Bodies of requests: read as they come, no further than they may, and no slower."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from segline.serving.http.faults import RefusedError
from segline.serving.http.settings import Settings

_PLAIN = (
    "application/dicom",
    "application/gzip",
    "application/nifti",
    "application/octet-stream",
    "application/x-www-form-urlencoded",  # what curl --data-binary and urllib call any file
    "application/x-gzip",
    "application/zip",
    "application/x-zip-compressed",
    "image/jpeg",
    "image/png",
)
_FORM = "multipart/form-data"
_MOST_FILES = 5000
_LINGER_BYTES = 4 << 30
"""Of a body that is refused: it is read and thrown away, so that the client hears why."""
Take = Callable[[int], None]
"""Told of every few bytes that are to be kept; it may refuse them."""


class Part(NamedTuple):
    """A file that was sent."""

    path: Path
    name: str
    """What the client called it."""
    field: str = "file"
    """Of the form."""


class Body(NamedTuple):
    """What a request brought."""

    files: list[Part]
    fields: dict[str, str]
    """What else was in the form."""

    def named(self, *fields: str) -> list[Part]:
        """Its files of these fields."""
        return [part for part in self.files if part.field in fields]


async def body_of(request: Request, folder: Path, settings: Settings, take: Take) -> Body:
    """Write what a request brings into ``folder``.

    Raises:
        RefusedError: of another type, too much, too slow, or broken off.
    """
    declared = request.headers.get("content-type", "application/octet-stream")
    media_type = declared.partition(";")[0].strip().lower()
    chunks = _chunks(request, settings, take)
    if media_type == _FORM:
        return await _parts(request, folder, chunks)
    if media_type not in _PLAIN:
        await linger(request, settings)
        raise RefusedError(
            415,
            f"{media_type}: not taken; send the file as application/octet-stream, or several as {_FORM}",
        )
    path = folder / "upload-0"
    with path.open("wb") as stream:
        async for chunk in chunks:
            stream.write(chunk)
    if not path.stat().st_size:
        return Body([], {})
    return Body([Part(path, request.headers.get("x-filename", ""))], {})


async def linger(request: Request, settings: Settings) -> None:
    """Read the rest of a body and keep nothing: who is cut off while sending never hears the reason."""
    left = _LINGER_BYTES
    try:
        async with asyncio.timeout(settings.silent_s):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return
    except (TimeoutError, ClientDisconnect, RuntimeError):
        return


async def _parts(request: Request, folder: Path, chunks: AsyncIterator[bytes]) -> Body:
    parser = MultiPartParser(request.headers, chunks, max_files=_MOST_FILES, max_fields=16)  # type: ignore[arg-type]
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        reason = getattr(error, "message", None) or "no boundary"
        raise RefusedError(400, f"not a readable form ({reason}); send one file a field 'file'") from error
    files: list[Part] = []
    fields: dict[str, str] = {}
    for name, part in form.multi_items():
        if isinstance(part, UploadFile):
            path = folder / f"upload-{len(files)}"
            with path.open("wb") as stream:
                while chunk := await part.read(1 << 20):
                    stream.write(chunk)
            files.append(Part(path, part.filename or "", name))
        else:
            fields[name] = part
    await form.close()
    return Body(files, fields)


async def _chunks(request: Request, settings: Settings, take: Take) -> AsyncIterator[bytes]:
    declared = request.headers.get("content-length", "0")
    most, got, start = settings.upload_bytes, 0, time.monotonic()
    if declared.isdigit() and int(declared) > most:
        await linger(request, settings)
        raise _too_large(most)
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(settings.silent_s):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise _too_slow(f"nothing came for {settings.silent_s:g} s") from error
        except ClientDisconnect as error:
            raise RefusedError(400, "the request ended in the middle") from error
        got += len(chunk)
        if got > most:
            await linger(request, settings)
            raise _too_large(most)
        took = time.monotonic() - start
        if took > settings.silent_s and got < settings.slowest_bytes_s * (took - settings.silent_s):
            raise _too_slow(f"{got} bytes in {took:.0f} s")
        take(len(chunk))
        yield chunk


def _too_large(most: int) -> RefusedError:
    return RefusedError(
        413,
        f"more than the {most / 1e6:.0f} MB that are taken; send a part of the volume, or gzip it",
        {"Connection": "close"},
    )


def _too_slow(what: str) -> RefusedError:
    return RefusedError(408, f"{what}; send it again", {"Connection": "close"})
