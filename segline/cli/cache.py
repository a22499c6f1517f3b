"""``segline cache``: the preprocessed cases that are kept."""

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from segline.common.errors import SeglineError

if TYPE_CHECKING:
    from segline.storage.depot import Depot


def add_cache_commands(commands: Any) -> None:
    cache = commands.add_parser("cache", help="the preprocessed cases that are kept")
    asked = cache.add_subparsers(dest="asked", required=True, metavar="WHAT")
    listed = asked.add_parser("ls", help="size, age and use of each")
    listed.set_defaults(run_command=_cache_ls)
    verify = asked.add_parser("verify", help="read every byte again; status 2 if one is damaged")
    verify.add_argument("--remove", action="store_true", help="remove what is damaged")
    verify.set_defaults(run_command=_cache_verify)
    collect = asked.add_parser("gc", help="remove what no run has used for a while")
    collect.add_argument("--unused-days", type=float, default=30, help="for how long (30)")
    collect.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    collect.set_defaults(run_command=_cache_gc)
    for what in (listed, verify, collect):
        what.add_argument("--store", default="store", help="folder or s3://bucket/prefix (store)")


def _cache_ls(options: argparse.Namespace) -> None:
    from segline.data.cases import upkeep

    sys.stdout.write(upkeep.as_table(upkeep.entries(_depot(options))))


def _cache_verify(options: argparse.Namespace) -> None:
    from segline.common.progress import ConsoleProgress
    from segline.data.cases import upkeep

    depot, bad = _depot(options), []
    for key, fault in upkeep.damaged(depot, ConsoleProgress("[verify]")):
        sys.stdout.write(f"{key}: {fault}\n")
        bad.append(key)
    if not bad:
        sys.stdout.write("every case is sound\n")
    elif not options.remove:
        raise SeglineError(f"{len(bad)} damaged; with --remove they are removed, and computed when needed")
    for key in bad:
        upkeep.remove(depot, key)


def _cache_gc(options: argparse.Namespace) -> None:
    from datetime import timedelta

    from segline.common.wording import counted
    from segline.data.cases import upkeep

    look_or_remove = upkeep.unused if options.dry_run else upkeep.collect_garbage
    old = look_or_remove(_depot(options), timedelta(days=options.unused_days))
    size = sum(entry.size_bytes for entry in old) / 2**20
    what = "would be removed" if options.dry_run else "removed"
    sys.stdout.write(f"{counted(len(old), 'case')}, {size:.1f} MiB {what}\n")


def _depot(options: argparse.Namespace) -> "Depot":
    from segline.storage.access import Access

    return Access.from_environment(os.environ).depot(options.store)
