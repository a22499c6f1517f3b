"""From cases to a model package."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from segline.common import atomic
from segline.common.digests import sha256_of_json
from segline.common.documents.names import MODEL, PLAN, TUNING
from segline.common.locks import exclusive_at_once
from segline.common.progress import ConsoleProgress
from segline.common.wording import counted
from segline.data.cases.arriving import CaseSource, source_of
from segline.data.cases.index import CaseIndex
from segline.evaluation.figures import titled
from segline.kinds import kind_of
from segline.machine.memory import keep_freed_memory
from segline.model.history import History
from segline.model.package import Model
from segline.plan import Plan
from segline.runs.run import Run
from segline.stages.frame import Location, access_here, stage
from segline.stages.tracked import shown_live
from segline.storage.depot import Depot
from segline.training.checkpoints import CheckpointKeeper
from segline.training.listening import Listener, unheard
from segline.training.objectives.objective import Objective
from segline.training.parallel.gpus import gpus_to_share, train_on
from segline.training.parallel.seeds import train_seeds
from segline.training.ranks import ALONE
from segline.training.shipping.domain import domain_of
from segline.training.shipping.outcome import ship
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer
from segline.training.tuning.probe import tune
from segline.training.tuning.rate_alone import find_rate
from segline.training.tuning.record import Tuning


def train(
    run: Location,
    store: Location,
    plan_in: Location,
    cases_in: Location,
    model_out: Location,
    device: str = "auto",
    page_out: Location | None = None,
    plan_out: Location | None = None,
    tracking: str = "",
) -> None:
    """Train, or continue an interrupted training of the same plan and cases; write the model package.

    Where the plan asks for it, it is tuned to this machine first, or its learning rate found. ``page_out``
    are the learning curves for people, ``plan_out`` is the plan that was trained under, with the
    post-processing of what came of it. The curves are shown while they are drawn in the trackers that the
    environment asks for, and in MLflow where ``tracking`` is its URI; what cannot be reached is a warning.
    """
    keep_freed_memory()
    with stage(run, "train") as (record, outcome):
        plan, index = Plan.read(Path(plan_in)), CaseIndex.read(Path(cases_in))
        depot, key = access_here().depot(store), _training_key(plan, index)
        source = source_of(index, access_here())
        with exclusive_at_once(depot.path(f"locks/{key}.lock")):
            asks = plan.training.tune or plan.training.find_rate
            tuning = _tuning(plan, source, depot, key, device) if asks else None
            tuned = tuning.plan(plan) if tuning else plan
            keys = [_training_key(one, index) for one in tuned.of_each_seed()]
            with shown_live(record, run, store, tracking, several=len(keys) > 1) as listener:
                training = _Training(tuned, keys, source, device, listener)
                history, shipped = _trained(training, depot, Path(model_out), record)
            if shipped != plan:
                record.publish(Path(model_out) / PLAN, PLAN)
            if tuning:
                record.publish(depot.path(_tuning_name(key)), TUNING)
                depot.forget_file(_tuning_name(key))
        if plan_out:
            shipped.write(Path(plan_out))
        if page_out:
            from segline.report import training_page

            atomic.write_text(Path(page_out), training_page(history, shipped, tuning))
        words = [_describe_training(history), tuning.text if tuning else None, shipped.postprocessing]
        outcome.text = "; ".join(filter(None, words))


def _training_key(plan: Plan, index: CaseIndex) -> str:
    return sha256_of_json([plan.digest, [index.keys[n] for n in (*plan.split.train, *plan.split.val)]])


def _tuning_name(key: str) -> str:
    return f"tunings/{key}.json"


def _tuning(plan: Plan, source: CaseSource, depot: Depot, key: str, device: str) -> Tuning:
    """What an interrupted training was tuned to, or what is found now; kept until the training is done."""
    name = _tuning_name(key)
    path = depot.bring_file(name)
    if not path.is_file():
        train, val = source.open(plan.split.train), source.open(plan.split.val)
        rest = device, ConsoleProgress("[tune]"), kind_of(plan.kind).objective
        found = tune(plan, train, val, *rest) if plan.training.tune else find_rate(plan, train, *rest)
        found.write(path)
        depot.keep_file(name)
    return Tuning.read(path)


@dataclass(frozen=True)
class _Training:
    """What is trained, and who is told."""

    plan: Plan
    keys: Sequence[str]
    """One a network."""
    source: CaseSource
    device: str
    listener: Listener


def _trained(training: _Training, depot: Depot, model_out: Path, record: Run) -> tuple[History, Plan]:
    """Train to the end, from wherever an earlier one came to; the model is published. Also gives its plan."""
    plan, keys, device = training.plan, training.keys, training.device
    objective = kind_of(plan.kind).objective
    cases, val = training.source.open(plan.split.train), training.source.open(plan.split.val)
    with ExitStack() as stack:
        kept = [stack.enter_context(CheckpointKeeper(depot, key)) for key in keys]
        told = unheard if _train_aside(training, kept, objective) else training.listener
        rest = device, ALONE, told, objective
        trainers = [
            Trainer(one, cases, val, Checkpoint(keeper.path, key, keeper.saved), *rest)
            for one, keeper, key in zip(plan.of_each_seed(), kept, keys, strict=True)
        ]
        histories = [trainer.run(ConsoleProgress("[train]")) for trainer in trainers]
        weights = [trainer.best_weights for trainer in trainers]
        shipped = ship(plan, weights, histories, cases, val, trainers[0].device, objective)
        domain = domain_of(plan, cases, val)
        Model.write(model_out, shipped.plan, shipped.weights, shipped.history, domain)
        record.publish(model_out, MODEL)
        for keeper in kept:
            keeper.forget()
    return shipped.history, shipped.plan


def _train_aside(training: _Training, kept: Sequence[CheckpointKeeper], objective: Objective) -> bool:
    """Whether it was done to the end in other processes, which leave that in their checkpoints."""
    plan, keys, device, source = training.plan, training.keys, training.device, training.source
    plans, progress = plan.of_each_seed(), ConsoleProgress("[train]")
    paths, saved = [keeper.path for keeper in kept], [keeper.saved for keeper in kept]
    heard = objective, training.listener
    if len(plans) > 1:
        train_seeds(plans, source, paths, keys, device, progress, lambda n: saved[n](), *heard)
        return True
    gpus = gpus_to_share(plan, device)
    if gpus:
        train_on(gpus, plan, source, paths[0], keys[0], progress, saved[0], *heard)
    return bool(gpus)


def _describe_training(history: History) -> str:
    resumed = history.resumed_from_step
    return (
        f"{counted(history.steps, 'step')} in {history.minutes:.1f} min, "
        f"validation {titled(history.figure)} {history.best_score:.4f} with the weights of {history.kept}"
        + (f"; continued from step {resumed}" if resumed is not None else "")
    )
