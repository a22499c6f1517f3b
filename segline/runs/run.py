"""A run's folder: what each stage did, and everything that people and machines read afterwards.

Stages publish into it as they end, so that the report can be written whatever happened.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from segline.acceptance.comparison import Comparison
from segline.acceptance.times import Benchmark
from segline.acceptance.verdict import Verdict
from segline.common import atomic
from segline.common.documents import names
from segline.common.errors import SeglineError, UnavailableError, plain_error
from segline.data.kept_files import bring_dataset
from segline.data.manifest import Manifest
from segline.evaluation.folds import CrossValidation
from segline.evaluation.records import Evaluation
from segline.machine.memory import limit_bytes
from segline.model.history import History
from segline.model.package import Model
from segline.plan import Plan
from segline.runs.contents import Contents
from segline.runs.records import Outcome, RunInfo, StageRecord, Status
from segline.storage.access import Access, is_uri
from segline.training.tuning.record import Tuning

Part = TypeVar("Part")
_HISTORY = f"{names.MODEL}/{names.HISTORY}"
INTERRUPTED = "interrupted"
"""The reason of a stage that was ended by who ran it."""


def _nobody(_name: str) -> None:
    pass


@dataclass(frozen=True)
class Run:
    """The folder of one run.

    ========================== ====================================================
    ``run.json``               :class:`RunInfo`
    ``stages/<name>.json``     :class:`StageRecord`
    ``manifest.json``          the data set
    ``plan.json``              the plan
    ``tuning.json``            what a probe chose, where the plan asked for one
    ``model/``                 the model package, with ``history.json`` of its training
    ``predictions/<backend>/`` answers and ``evaluation.json``
    ``gate.json``              the verdict
    ``benchmark.json``         the benchmark
    ``folds.json``             the cross-validation, and in ``folds/<number>/`` its runs
    ``ensemble.json``          the ensemble of its folds beside each member
    ``report.html``            for people
    ``summary.json``           for machines
    ========================== ====================================================
    """

    folder: Path
    access: Access | None = None
    """How to reach the depot that the data set's files may be in."""
    tell: Callable[[str], None] = _nobody
    """Is told the name of a file below the folder that others are to see before the work ends."""

    @classmethod
    def start(cls, folder: Path, info: RunInfo) -> "Run":
        """Make the folder of a new run."""
        info.write(folder / names.RUN)
        return cls(folder)

    @contextmanager
    def stage(self, name: str) -> Iterator[Outcome]:
        """Record a stage: its time, and whether it succeeded, was skipped or failed.

        Raises:
            SeglineError: the stage's own; a full disk becomes one too.
        """
        started, clock, outcome = datetime.now(UTC), time.perf_counter(), Outcome()

        def record(status: Status, reason: str) -> None:
            seconds = round(time.perf_counter() - clock, 3)
            entry = StageRecord(
                name=name,
                status=status,
                started=started,
                seconds=seconds,
                reason=reason,
                memory_limit_bytes=limit_bytes(),
            )
            path = self.folder / names.stage_record(name)
            try:
                entry.write(path)
            except OSError as error:
                raise plain_error(error) from error

        try:
            record("running", "")
            self.tell(names.stage_record(name))
            yield outcome
        except UnavailableError as skipped:
            record("skipped", str(skipped))
        except BaseException as error:
            readable = plain_error(error)
            with suppress(OSError, SeglineError):  # what went wrong counts more than that it is not recorded
                record("failed", _in_words(readable))
            if readable is error:
                raise
            raise readable from error
        else:
            record("succeeded", outcome.text)

    def publish(self, source: str | Path, name: str) -> None:
        """Copy a stage's file or folder to ``name`` below the run's folder, replacing what was there."""
        source, target = Path(source), self.folder / name
        if target.exists() and target.samefile(source):
            return
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            with atomic.new_folder(target) as scratch:
                shutil.copytree(source, scratch, dirs_exist_ok=True)
        else:
            with atomic.new_file(target) as scratch:
                shutil.copyfile(source, scratch)

    @property
    def info(self) -> RunInfo:
        """What was asked for.

        Raises:
            SeglineError: this is not a run's folder.
        """
        try:
            return RunInfo.read(self.folder / names.RUN)
        except SeglineError as error:
            raise SeglineError(f"{self.folder}: not a run's folder, {names.RUN} cannot be read") from error

    @property
    def stages(self) -> list[StageRecord]:
        """Records in the order in which the stages started, those of folds too; a damaged one failed."""
        records = [_stage_record(path) for path in self.folder.glob(names.STAGE_RECORDS)]
        for path in self.folder.glob(f"{names.FOLDS}/*/{names.STAGE_RECORDS}"):
            record = _stage_record(path)
            name = f"{record.name}, fold {path.parents[1].name}"
            records.append(record.model_copy(update={"name": name}))
        return sorted(records, key=lambda record: (record.started, record.name))

    @property
    def contents(self) -> Contents:
        """Everything that is there, read part by part."""
        problems: list[str] = []

        def attempt(read: Callable[[], Part], name: str) -> Part | None:
            try:
                return read()
            except SeglineError as error:
                problems.append(str(error))
            except (OSError, ValidationError):
                problems.append(f"{self.folder / name}: damaged; run the stage that writes it again")
            return None

        evaluations = [
            attempt(partial(Evaluation.read, path), path.relative_to(self.folder).as_posix())
            for path in self.evaluation_files
        ]
        return Contents(
            manifest=attempt(lambda: self.manifest, names.MANIFEST),
            plan=attempt(lambda: self.plan, names.PLAN),
            tuning=attempt(lambda: self.tuning, names.TUNING),
            history=attempt(lambda: self.history, _HISTORY),
            model=attempt(lambda: self.model, names.MODEL),
            evaluations=tuple(evaluation for evaluation in evaluations if evaluation is not None),
            verdict=attempt(lambda: self.verdict, names.GATE),
            benchmark=attempt(lambda: self.benchmark, names.BENCHMARK),
            cross_validation=attempt(lambda: self.cross_validation, names.CROSS_VALIDATION),
            comparison=attempt(lambda: self.comparison, names.COMPARISON),
            problems=tuple(problems),
        )

    @property
    def manifest(self) -> Manifest | None:
        """The data set, once downloaded; its test cases are on this machine."""
        path = self.folder / names.MANIFEST
        if not path.is_file():
            return None
        manifest = Manifest.read(path)
        # only files elsewhere need the plan: a damaged one must not hide the data set
        return bring_dataset(manifest, self.access, self._test_cases) if is_uri(manifest.root) else manifest

    @property
    def _test_cases(self) -> tuple[str, ...]:
        with suppress(SeglineError):
            return self.plan.split.test if self.plan else ()
        return ()

    @property
    def plan(self) -> Plan | None:
        """The plan, once made."""
        return self._read(names.PLAN, Plan.read)

    @property
    def tuning(self) -> Tuning | None:
        """What a probe chose before the training, where the plan asked for one."""
        return self._read(names.TUNING, Tuning.read)

    @property
    def history(self) -> History | None:
        """The training, once done."""
        return self._read(_HISTORY, History.read)

    @property
    def model(self) -> Model | None:
        """The model package, once trained."""
        path = self.folder / names.MODEL
        return Model.open(path) if path.is_dir() else None

    @property
    def evaluations(self) -> list[Evaluation]:
        """One a backend evaluated so far, in the order of their names."""
        return [Evaluation.read(path) for path in self.evaluation_files]

    @property
    def evaluation_files(self) -> list[Path]:
        """Where they lie."""
        return sorted(self.folder.glob(names.EVALUATIONS))

    @property
    def verdict(self) -> Verdict | None:
        """The gate's, once compared."""
        return self._read(names.GATE, Verdict.read)

    @property
    def benchmark(self) -> Benchmark | None:
        """The benchmark, once timed."""
        return self._read(names.BENCHMARK, Benchmark.read)

    @property
    def cross_validation(self) -> CrossValidation | None:
        """The folds, once pooled."""
        return self._read(names.CROSS_VALIDATION, CrossValidation.read)

    @property
    def comparison(self) -> Comparison | None:
        """The ensemble and its members, once compared."""
        return self._read(names.COMPARISON, Comparison.read)

    @property
    def folds(self) -> list["Run"]:
        """The runs of a cross-validation's folds, in their order."""
        numbered = (path.parent for path in self.folder.glob(f"{names.FOLDS}/[0-9]*/{names.RUN}"))
        return [Run(folder, self.access) for folder in sorted(numbered, key=lambda path: int(path.name))]

    def _read(self, name: str, read: Callable[[Path], Part]) -> Part | None:
        path = self.folder / name
        return read(path) if path.is_file() else None


def _stage_record(path: Path) -> StageRecord:
    try:
        record = StageRecord.read(path)
        return record.model_copy(update={"reason": _without_name(record.reason, record.name)})
    except SeglineError:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        damaged = f"{path}: damaged; run the stage again"
        return StageRecord(name=path.stem, status="failed", started=written, seconds=0, reason=damaged)


def _without_name(reason: str, stage: str) -> str:
    """A reason beside its stage's name, which names neither the stage nor its backend again.

    >>> _without_name("openvino: not installed", "evaluate_openvino"), _without_name("plan: no", "plan")
    ('not installed', 'no')
    """
    for name in (stage, stage.removeprefix("evaluate_")):
        reason = reason.removeprefix(f"{name}: ")
    return reason


def _in_words(error: BaseException) -> str:
    """What a record says of an error; one that is not meant for users is named by its kind too."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return str(error) if isinstance(error, SeglineError) else f"{type(error).__name__}: {error}".rstrip(": ")
