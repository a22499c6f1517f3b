"""``segline listen``: a PACS's neighbour that answers each series with a segmentation."""

import argparse
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from segline.cli.predict import BACKEND_HELP
from segline.cli.registry import chosen_version
from segline.common.errors import imports_of

_PORT = 11112
"""IANA's for DICOM."""


def add_listen(commands: Any) -> argparse.ArgumentParser:
    """The parser of ``listen``, with all but what it shares with the other readers of the registry."""
    listen: argparse.ArgumentParser = commands.add_parser(
        "listen", help="take DICOM series from a PACS, and send it their segmentations"
    )
    listen.add_argument("model", help="model package, folder of a run, or reference as for pull")
    listen.add_argument("--ae-title", default="SEGLINE", help="what the node is called (SEGLINE)")
    listen.add_argument("--host", default="127.0.0.1", help="0.0.0.0 opens it to others (127.0.0.1)")
    listen.add_argument("--port", type=int, default=_PORT, help=f"0 takes a free one ({_PORT})")
    listen.add_argument("--spool", type=Path, default=Path("spool"), help="folder of what is under way")
    listen.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="TITLE=HOST:PORT",
        help="whom to answer, and where",
    )
    listen.add_argument("--send-to", metavar="TITLE", help="answer this peer, whoever sent the series")
    listen.add_argument(
        "--only", action="append", default=[], metavar="TITLE", help="take series from it only"
    )
    listen.add_argument("--sr", action="store_true", help="send volumes in ml as DICOM-SR, too")
    listen.add_argument(
        "--quiet-s", type=float, default=5, help="a series is complete so long after its last image (5)"
    )
    listen.add_argument(
        "--broken-s", type=float, default=600, help="one that broke off is set aside so much later (600)"
    )
    listen.add_argument("--spool-gb", type=float, default=20, help="no more is taken above it (20)")
    listen.add_argument("--backend", default="auto", help=BACKEND_HELP)
    listen.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    listen.set_defaults(run_command=_listen)
    return listen


def _listen(options: argparse.Namespace) -> None:
    with imports_of("dicom", "listen"):
        import pynetdicom  # noqa: F401
    from segline.serving.dicom_node.answering import answerer
    from segline.serving.dicom_node.node import Node, Settings
    from segline.serving.dicom_node.peers import Peers, checked_title
    from segline.serving.dicom_node.spool import Spool
    from segline.serving.models.served import Served

    title = checked_title(options.ae_title)
    peers = Peers.of(options.peer, options.send_to, options.only)
    model, version = chosen_version(options)
    answer = answerer(Served(model, version, options.backend, options.device), options.sr)
    settings = Settings(title, options.host, options.port, options.quiet_s, options.broken_s)
    node = Node(answer, Spool(options.spool, options.spool_gb * 1e9), peers, settings)
    _tell_on_stderr()
    before = signal.signal(signal.SIGTERM, lambda *_: node.stop())
    try:
        node.run()
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell_on_stderr() -> None:
    """What the node does, and nothing of pynetdicom, whose lines may be of a patient."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s segline listen: %(message)s"))
    log = logging.getLogger("segline.serving.dicom_node")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
