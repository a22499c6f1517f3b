"""A relay in front of a server, on the loopback interface, that fails in the middle of the work."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


class Relay:
    """Passes on what it hears, until a request has ``on`` in it; that one calls ``then``."""

    def __init__(self, target: str, on: bytes, then: Callable[["Relay"], None]) -> None:
        self._target = urlsplit(target).netloc.split(":")
        self._on, self._then = on, then
        self._silent = self._loses_answer = False
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._start(self._accept, self._listener)

    def die(self) -> None:
        """Close every connection, and refuse new ones."""
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open = []

    def hang(self) -> None:
        """Accept, and never answer."""
        self._silent = True

    def be_away(self, seconds: float) -> None:
        """Die, and be there again a little later."""
        self.die()
        time.sleep(seconds)
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._start(self._accept, self._listener)

    def lose_the_answer(self) -> None:
        """Pass this request on, and close the connection in place of its answer."""
        self._loses_answer = True

    def _start(self, work: Callable[..., None], *given: socket.socket) -> None:
        threading.Thread(target=work, args=given, daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection((self._target[0], int(self._target[1])))
                for each in (client, server):  # else a body waits 40 ms for what comes before it
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += [client, server]
                self._start(self._ask, client, server)
                self._start(self._answer, server, client)

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self._on in data:
                    self._on = b"\0nothing more"
                    self._then(self)
                if not self._silent:
                    server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if self._loses_answer:
                    self._loses_answer = False
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def relayed(target: str, on: bytes, then: Callable[[Relay], None]) -> Iterator[str]:
    """The URI of a relay to ``target``."""
    relay = Relay(target, on, then)
    try:
        yield relay.uri
    finally:
        relay.die()
