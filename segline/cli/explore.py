"""``segline explore``: one page of a data set before anything is trained."""

import argparse
import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from segline.cli.predict import require_writable

if TYPE_CHECKING:
    from segline.plan import Task

_SUFFIX = ".html"


def add_explore(commands: Any) -> None:
    explore = commands.add_parser("explore", help="one page of a data set before anything is trained")
    explore.add_argument("data", help="where the volumes come from, as a task's source")
    explore.add_argument("-o", "--output", type=Path, help="the page (the data's name with .html)")
    explore.add_argument("--task", help="whose plan is proposed: a name, or a YAML's path")
    explore.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override the proposed plan"
    )
    explore.add_argument("--store", type=Path, help="keep what is downloaded or unpacked here")
    explore.set_defaults(run_command=_explore)


def _explore(options: argparse.Namespace) -> None:
    from segline.common.progress import ConsoleProgress
    from segline.common.wording import counted
    from segline.data.declarations.class_folders import has_class_folders
    from segline.data.sources import fetch
    from segline.exploration.facts import KindParts
    from segline.exploration.page import explore
    from segline.kinds import kind_of
    from segline.storage.access import Access

    page = options.output or Path(f"{name_of(options.data)}{_SUFFIX}")
    require_writable(page, "page", (_SUFFIX,))
    progress = ConsoleProgress("[explore]", sys.stderr)
    with TemporaryDirectory(prefix="segline-explore-") as scratch:
        s3 = Access.from_environment(os.environ).s3
        root = fetch(options.data, options.store or Path(scratch), s3, progress)
        task = _task(options, has_class_folders(root))
        kind = kind_of(task.kind)
        parts = KindParts(kind.targets, kind.propose, kind.objective.sampler)
        workers = len(os.sched_getaffinity(0))
        found = explore(root, page, task, parts, workers, progress)
    facts = found.facts
    refused = f", {len(facts.faults)} refused" if facts.faults else ""
    told = f"{counted(len(facts.cases), 'case')}{refused}, {counted(len(found.findings), 'finding')}"
    sys.stdout.write(f"{page}: {told}\n")


def name_of(data: str) -> str:
    """What a page of these data is called.

    >>> name_of("path/to/Task04_Hippocampus/"), name_of("s3://bucket/liver.tar.gz"), name_of("phantom:24:7")
    ('Task04_Hippocampus', 'liver', 'phantom-24-7')
    """
    from segline.storage.archives import archive_stem

    last = Path(data).resolve().name if set(data) <= {".", "/"} else data.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^\w.-]+", "-", archive_stem(last) or last).strip(".-") or "data"


def _task(options: argparse.Namespace, of_classes: bool) -> "Task":
    """As asked; else one of what the data have, which sets nothing."""
    from segline.plan import Task
    from segline.plan.part import SEGMENTATION
    from segline.tasks import read_task

    if options.task:
        return read_task(options.task, options.set, options.data)
    plain = re.sub(r"[^a-z0-9]+", "-", name_of(options.data).lower()).strip("-")
    name = plain if plain[:1].isalpha() else f"data-{plain}".rstrip("-")
    kind = "classification" if of_classes else SEGMENTATION
    unnamed = Task(name=name, kind=kind, source=options.data)
    return read_task(unnamed.model_dump_json(), options.set)
