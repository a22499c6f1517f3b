"""From cases to a model package."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from segline.common import atomic
from segline.common.digests import sha256_of_json
from segline.common.locks import exclusive_at_once
from segline.common.progress import ConsoleProgress
from segline.data.cases.arriving import CaseSource, source_of
from segline.data.cases.index import CaseIndex
from segline.evaluation.figures import titled
from segline.kinds import kind_of
from segline.machine.memory import keep_freed_memory
from segline.model.history import History
from segline.model.package import Model
from segline.plan import Plan
from segline.runs.names import MODEL, PLAN, TUNING
from segline.runs.run import Run
from segline.stages.frame import Location, access_here, stage
from segline.storage.depot import Depot
from segline.training.checkpoints import CheckpointKeeper
from segline.training.parallel.gpus import gpus_to_share, train_on
from segline.training.parallel.seeds import train_seeds
from segline.training.shipping.outcome import ship
from segline.training.state import Checkpoint
from segline.training.trainer import Trainer
from segline.training.tuning.probe import tune
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
) -> None:
    """Train, or continue an interrupted training of the same plan and cases; write the model package.

    Where the plan asks for it, it is tuned to this machine first. ``page_out`` are the learning curves for
    people, ``plan_out`` is the plan that was trained under, with the post-processing of what came of it.
    """
    keep_freed_memory()
    with stage(run, "train") as (record, outcome):
        plan, index = Plan.read(Path(plan_in)), CaseIndex.read(Path(cases_in))
        depot, key = access_here().depot(store), _training_key(plan, index)
        source = source_of(index, access_here())
        with exclusive_at_once(depot.path(f"locks/{key}.lock")):
            tuning = _tuning(plan, source, depot, key, device) if plan.training.tune else None
            tuned = tuning.plan(plan) if tuning else plan
            keys = [_training_key(one, index) for one in tuned.of_each_seed()]
            history, shipped = _trained(tuned, keys, source, depot, Path(model_out), device, record)
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
        cases = source.open(plan.split.train), source.open(plan.split.val)
        objective = kind_of(plan.kind).objective
        tune(plan, *cases, device, ConsoleProgress("[tune]"), objective).write(path)
        depot.keep_file(name)
    return Tuning.read(path)


def _trained(
    plan: Plan,
    keys: Sequence[str],
    source: CaseSource,
    depot: Depot,
    model_out: Path,
    device: str,
    record: Run,
) -> tuple[History, Plan]:
    """Train to the end, from wherever an earlier one came to; the model is published. Also gives its plan."""
    plans, progress = plan.of_each_seed(), ConsoleProgress("[train]")
    objective = kind_of(plan.kind).objective
    cases, val = source.open(plan.split.train), source.open(plan.split.val)
    with ExitStack() as stack:
        kept = [stack.enter_context(CheckpointKeeper(depot, key)) for key in keys]
        paths = [keeper.path for keeper in kept]
        if len(plans) > 1:
            saved = [keeper.saved for keeper in kept]
            train_seeds(plans, source, paths, keys, device, progress, lambda n: saved[n](), objective)
        elif gpus := gpus_to_share(plan, device):
            train_on(gpus, plan, source, paths[0], keys[0], progress, kept[0].saved, objective)
        trainers = [
            Trainer(one, cases, val, Checkpoint(keeper.path, key, keeper.saved), device, objective=objective)
            for one, keeper, key in zip(plans, kept, keys, strict=True)
        ]
        histories = [trainer.run(progress) for trainer in trainers]
        weights = [trainer.best_weights for trainer in trainers]
        shipped = ship(plan, weights, histories, val, trainers[0].device, objective)
        Model.write(model_out, shipped.plan, shipped.weights, shipped.history)
        record.publish(model_out, MODEL)
        for keeper in kept:
            keeper.forget()
    return shipped.history, shipped.plan


def _describe_training(history: History) -> str:
    resumed = history.resumed_from_step
    return (
        f"{history.steps} steps in {history.minutes:.1f} min, "
        f"validation {titled(history.figure)} {history.best_score:.4f} with the weights of {history.kept}"
        + (f"; continued from step {resumed}" if resumed is not None else "")
    )
