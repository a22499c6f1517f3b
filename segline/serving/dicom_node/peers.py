"""Peers: which application entities there are, and where."""

from collections.abc import Iterable
from dataclasses import dataclass

from segline.common.errors import SeglineError

_LONGEST_TITLE = 16


@dataclass(frozen=True)
class Peer:
    """An application entity that answers are sent to."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Peer":
        """Read ``TITLE=HOST:PORT``.

        >>> Peer.parse("PACS=10.0.0.5:104")
        Peer(title='PACS', host='10.0.0.5', port=104)

        Raises:
            SeglineError: it is none.
        """
        title, _, address = text.partition("=")
        host, _, port = address.rpartition(":")
        if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
            raise SeglineError(f"{text}: no peer; write TITLE=HOST:PORT, as in PACS=10.0.0.5:104")
        return cls(checked_title(title), host.strip("[]"), int(port))


def checked_title(text: str) -> str:
    """An application entity's title.

    Raises:
        SeglineError: it is empty, longer than 16 characters, or has one that titles may not have.
    """
    title = text.strip()
    if (
        not 0 < len(title) <= _LONGEST_TITLE
        or not title.isascii()
        or not title.isprintable()
        or "\\" in title
    ):
        raise SeglineError(f"{text!r}: no AE title; give 1 to 16 letters and digits")
    return title


@dataclass(frozen=True)
class Peers:
    """Who may send, and who is answered."""

    known: dict[str, Peer]
    send_to: str | None
    welcome: tuple[str, ...]
    """Titles of who may send; everybody, where there is none."""

    @classmethod
    def of(cls, peers: Iterable[str], send_to: str | None, only: Iterable[str]) -> "Peers":
        """From what was written on the command line.

        Raises:
            SeglineError: one is no peer, or it is not known where the answers go.
        """
        known = {peer.title: peer for peer in map(Peer.parse, peers)}
        if send_to is not None and send_to not in known:
            raise SeglineError(f"--send-to {send_to}: where is it? Add --peer {send_to}=HOST:PORT")
        if not known:
            raise SeglineError("no peer to answer; add --peer TITLE=HOST:PORT of the one that sends")
        asked = tuple(map(checked_title, only))
        if send_to is None:  # what cannot be answered is not taken
            if unknown := {*asked} - {*known}:
                raise SeglineError(f"--only {min(unknown)}: where is it? Add --peer {min(unknown)}=HOST:PORT")
            asked = asked or tuple(known)
        return cls(known, send_to, asked)

    def destination(self, sender: str) -> Peer | None:
        """Where the answer to a sender's series goes."""
        return self.known.get(self.send_to or sender)
