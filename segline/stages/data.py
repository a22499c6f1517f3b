"""From a source to preprocessed cases and a plan."""

import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from segline import __version__
from segline.common.documents.names import MANIFEST, PLAN, QUARANTINE
from segline.common.errors import SeglineError
from segline.common.progress import ConsoleProgress
from segline.common.wording import by, counted
from segline.data import sources
from segline.data.cases.building import preprocess as preprocess_cases
from segline.data.cases.index import CaseIndex
from segline.data.cases.upkeep import remember_use
from segline.data.fingerprint import ras_geometry, take_fingerprint
from segline.data.intake import NOTHING_NEW, take_in
from segline.data.kept_files import bring_dataset, keep_dataset
from segline.data.manifest import Manifest
from segline.data.portraits import not_portrayed
from segline.data.verification import survey, verify
from segline.inference.familiarity.drift import DRIFT, drift_of, read_record
from segline.kinds import kind_of
from segline.machine.abilities import abilities
from segline.plan import Plan, Task
from segline.planning.plans import succeed_plan
from segline.planning.sizes import sizes_in_words
from segline.runs.records import RunInfo
from segline.runs.remote import open_run
from segline.runs.run import Run
from segline.stages.frame import (
    Location,
    access_here,
    ended_in_one_line,
    manifest_here,
    open_registry,
    require_same_dataset,
    stage,
    worker_count,
)
from segline.storage.depot import Depot
from segline.tasks import read_task, split_overrides

_DECIDING_PACKAGES = ("torch", "monai", "numpy", "nibabel", "onnx", "onnxruntime")


def start(run: Location, task: str, overrides: str = "", data: str = "") -> None:
    """Make a run's folder for a task that is asked for as :func:`segline.tasks.read_task` reads it.

    ``overrides`` are those of its plan in one line, ``data`` takes the place of its source.
    """
    with ended_in_one_line("start"):
        start_run(run, read_task(task, split_overrides(overrides), data))


def start_run(run: Location, task: Task) -> None:
    """Make a run's folder and write down what was asked for, with which versions, where.

    Raises:
        SeglineError: there is no such kind of task, or the folder cannot be written.
    """
    kind_of(task.kind)  # before anything is made, whether there is such a kind
    info = RunInfo(
        id=str(run).rstrip("/").rpartition("/")[2],
        task=task,
        started=datetime.now(UTC),
        versions={"segline": __version__, "python": platform.python_version(), **_versions()},
        machine=abilities()[0].detail,
    )
    with open_run(run, access_here()) as record:
        Run.start(record.folder, info)


def download(run: Location, store: Location, manifest_out: Location) -> None:
    """Fetch and verify the data set of the run's task; ``manifest_out`` says where and what it is.

    Credentials of an object store come from the environment.
    """
    with stage(run, "download") as (record, outcome):
        progress = ConsoleProgress("[download]")
        depot = access_here().depot(store)
        folder = sources.fetch(record.info.task.source, depot.folder, access_here().s3, progress)
        targets = kind_of(record.info.task.kind).targets
        manifest = verify(folder, depot.path("verified"), worker_count(), progress, targets)
        _keep_manifest(keep_dataset(depot, manifest, progress), depot, Path(manifest_out), record)
        outcome.text = (
            f"{counted(len(manifest.cases), 'case')}, digest {manifest.digest[:12]}{_told(manifest.remarks)}"
        )


def intake(
    run: Location, store: Location, tracking: str, manifest_out: Location, previous_out: Location
) -> str:
    """Look for new cases since the champion was trained; bad ones are set aside with their reasons.

    ``previous_out`` is the champion's plan. Without a champion every case is new, and it stays unwritten.

    Returns:
        ``new``, or ``nothing new`` where a model that learned from these cases was judged before.
    """
    from segline.registry.succession import champion_plan, judged_on

    with stage(run, "intake") as (record, outcome):
        progress = ConsoleProgress("[intake]")
        depot = access_here().depot(store)
        folder = sources.fetch(record.info.task.source, depot.folder, access_here().s3, progress)
        task, registry = record.info.task.name, open_registry(store, tracking)
        targets = kind_of(record.info.task.kind).targets
        surveyed = survey(folder, depot.path("verified"), worker_count(), progress, targets)
        champion = champion_plan(registry, task)
        if champion is None:
            accepted, aside, new = surveyed.manifest, len(surveyed.faults), len(surveyed.manifest.cases)
        else:
            known = Manifest.read(depot.bring_file(_known_manifest(champion.dataset_digest)))
            champion = champion.named(known.pseudonyms)
            champion.write(Path(previous_out))
            portraits = depot.bring_files("portraits")
            known = bring_dataset(known, access_here(), not_portrayed(known, portraits), progress)
            taken = take_in(surveyed, known, champion, portraits, workers=worker_count())
            depot.keep_files("portraits")
            taken.quarantine.write(record.folder / QUARANTINE)
            accepted, aside = taken.accepted, len(taken.quarantine.cases)
            new = taken.quarantine.new - aside
        _keep_manifest(keep_dataset(depot, accepted, progress), depot, Path(manifest_out), record)
        judged = judged_on(registry, task, accepted.digest)
        outcome.text = f"{NOTHING_NEW} since {judged}" if judged else counted(new, "new case")
        outcome.text += f", {aside} set aside" if aside else ""
        outcome.text += drift_told(depot, task)
        outcome.answer = NOTHING_NEW if judged else "new"
    return outcome.answer or NOTHING_NEW


def plan(
    run: Location, manifest_in: Location, plan_out: Location, previous_in: Location | None = None
) -> None:
    """Propose a plan, with the overrides of the run's task; or carry the champion's on."""
    with stage(run, "plan") as (record, outcome):
        manifest = manifest_here(manifest_in)
        wanted = record.info.task
        if previous_in and Path(previous_in).is_file():
            proposal = succeed_plan(Plan.read(Path(previous_in)), manifest, wanted)
        else:
            fingerprint = take_fingerprint(manifest, worker_count())
            proposal = kind_of(wanted.kind).propose(manifest, fingerprint, wanted)
        proposal.write(Path(plan_out))
        record.publish(plan_out, PLAN)
        for line in sizes_in_words(proposal, map(ras_geometry, manifest.cases)):
            sys.stdout.write(f"[plan] {line}\n")
        outcome.text = _describe_plan(proposal)


def preprocess(
    run: Location, store: Location, manifest_in: Location, plan_in: Location, cases_out: Location
) -> None:
    """Bring every case into the cache, in several processes; cases already there are reused."""
    with stage(run, "preprocess") as (_, outcome):
        manifest, plan = Manifest.read(Path(manifest_in)), Plan.read(Path(plan_in))
        require_same_dataset(plan, manifest)
        depot = access_here().depot(store)
        index = _fill_cache(manifest, plan, depot)
        index.write(Path(cases_out))
        remember_use(index, depot)
        outcome.text = f"{counted(index.computed, 'case')} computed, {index.reused} reused from the cache"


def _told(remarks: Sequence[str]) -> str:
    more = f" (and {len(remarks) - 1} more)" if len(remarks) > 1 else ""
    return f"; {remarks[0]}{more}" if remarks else ""


def drift_told(depot: Depot, task: str) -> str:
    """What the records of a served model say of its inputs, if there are any in the depot."""
    keys = [item.key for item in (depot.store / DRIFT).listed() if ".jsonl" in item.key]
    try:
        drift = drift_of(read_record([depot.bring_file(f"{DRIFT}/{key}") for key in keys]), task)
    except SeglineError as error:  # new cases are not kept waiting for it
        return f"; {error}"
    return f"; {drift.words}" if drift else ""


def _known_manifest(digest: str) -> str:
    return f"manifests/{digest}.json"


def _keep_manifest(manifest: Manifest, depot: Depot, path: Path, record: Run) -> None:
    """Also in the depot, where a later intake learns what the champion was trained on."""
    known = _known_manifest(manifest.digest)
    for place in (path, depot.path(known)):
        manifest.write(place)
    depot.keep_file(known)
    record.publish(path, MANIFEST)


def _fill_cache(manifest: Manifest, plan: Plan, depot: Depot) -> CaseIndex:
    progress, total = ConsoleProgress("[preprocess]"), len(manifest.cases)
    targets = kind_of(plan.kind).targets
    computed = 0
    for number, (_, new) in enumerate(
        preprocess_cases(manifest, plan, depot, worker_count(), access_here(), targets), 1
    ):
        computed += new
        progress(number / total, f"{number} of {total} cases")
    return CaseIndex.of(manifest, plan, depot, computed)


def _describe_plan(plan: Plan) -> str:
    spacing = by(plan.preprocessing.spacing_mm)
    patch = by(plan.training.patch_size)
    return f"spacing {spacing} mm, patch {patch}, batch {plan.training.batch_size}, digest {plan.digest[:12]}"


def _versions() -> dict[str, str]:
    versions = {}
    for name in _DECIDING_PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
