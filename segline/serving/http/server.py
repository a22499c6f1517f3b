"""The server: uvicorn, with clients that dawdle cut off, and an end that loses no answer."""

import asyncio
import logging
import signal
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from segline.serving.http.app import make_app
from segline.serving.http.service import Service

_MOST_CONNECTIONS = 2048
_FETCH_S = 10.0
"""For fetching the answers of jobs after the last one is done."""
_TIDY_S = 5.0
_log = logging.getLogger("segline.serving")


class _TimedProtocol(H11Protocol):
    """A connection whose requests begin in time: uvicorn itself waits for a head for ever."""

    silent_s = 15.0
    """For all lines of a request's head."""
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(self.silent_s, self._too_late)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        begun = self.conn.their_state is not h11.IDLE
        if begun and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        elif not begun and self._deadline is None:
            self._deadline = self.loop.call_later(self.silent_s, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def _too_late(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE:
            self.transport.close()


class _Server(uvicorn.Server):
    """Ends after what was taken in is answered and fetched."""

    def __init__(self, config: uvicorn.Config, service: Service, drain_s: float) -> None:
        super().__init__(config)
        self._service, self._drain_s = service, drain_s
        self._draining: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end; a second signal ends at once.

        Nothing is logged here: the signal may have come in the middle of a line of the log, where Python's
        streams refuse another, and would be lost with it.
        """
        if self._service.draining:
            super().handle_exit(sig, frame)
            return
        self._service.draining = True
        self._loop.call_soon_threadsafe(self._begin_to_drain, signal.Signals(sig).name)

    async def serve(self, sockets: Any = None) -> None:
        """Until it is told to end."""
        self._loop = asyncio.get_running_loop()
        tidying = asyncio.create_task(self._tidy())
        try:
            await super().serve(sockets)
        finally:
            tidying.cancel()

    async def _tidy(self) -> None:
        """What is kept of a patient goes in time, though nobody asks for anything any more."""
        while True:
            await asyncio.sleep(min(_TIDY_S, self._service.settings.keep_s))
            self._service.tidy()

    def _begin_to_drain(self, told: str) -> None:
        _log.warning("%s: taking nothing in, ending after what waits", told)
        self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        in_time = await asyncio.to_thread(self._service.desk.drain, self._drain_s)
        if not in_time:
            _log.error("not all was answered in %.0f s", self._drain_s)
        for _ in range(int(_FETCH_S * 10)):
            if not self._service.kept:
                break
            await asyncio.sleep(0.1)
        self.should_exit = True


def serve(service: Service, host: str, port: int, drain_s: float) -> None:
    """Answer until SIGTERM or Ctrl-C."""
    config = uvicorn.Config(
        make_app(service),
        host=host,
        port=port,
        http=type("Timed", (_TimedProtocol,), {"silent_s": service.settings.silent_s}),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )
    _Server(config, service, drain_s).run()
