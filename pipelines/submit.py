"""Run a task on a cluster: upload the pipeline if it is new, start a run, and follow it to its end."""

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from pipelines.cluster.api import Kubernetes, RunPod
from pipelines.cluster.footprint import Demand
from pipelines.cluster.names import NAMESPACE, SETTINGS
from pipelines.cluster.readiness import Finding, examine
from pipelines.compile import add_demand, compile_package
from pipelines.cross_validation import ensemble_pipeline, folds_pipeline
from pipelines.dag import segline_pipeline
from pipelines.resources import Variant
from pipelines.run import fold_overrides
from pipelines.service import RunState, Service, UnansweredError, UploadedVersion
from segline.common.documents.names import SUMMARY
from segline.common.errors import SeglineError, plain_error
from segline.runs.summary import Summary
from segline.tasks import names, read_task


def main(arguments: Sequence[str] | None = None) -> int:
    """Submit a task; 0 succeeded or detached, 1 failed, 2 nothing was started."""
    options = _parser().parse_args(arguments)
    try:
        service = connect(options)
        asked = Asked.of(options, fold_overrides(options.folds, options.ensemble))
        kubernetes = examined(options)
        run_id = submit(service, asked, options)
    except (SeglineError, OSError) as error:
        sys.stderr.write(f"segline: {plain_error(error)}\n")
        return 2
    sys.stdout.write(f"{service.link(run_id)}\n")
    if options.detach:
        return 0
    return follow(Follower(service, kubernetes, run_id, options.interval, options.patience))


def connect(options: argparse.Namespace) -> Service:
    """The service.

    Raises:
        SeglineError: no address is given.
    """
    if not options.host:
        raise SeglineError("no address of Kubeflow Pipelines; give KFP_HOST=http://localhost:8080")
    return Service(options.host, options.user_namespace, options.token, options.answer)


def examined(options: argparse.Namespace) -> Kubernetes | None:
    """The cluster, found to have all that the pipeline needs; None, with a line why, without a kubeconfig.

    Raises:
        SeglineError: something is missing.
    """
    try:
        kubernetes = Kubernetes.connect(options.kubeconfig, options.user_namespace or NAMESPACE)
    except SeglineError as error:
        sys.stdout.write(f"the cluster is not examined beforehand: {error}\n")
        return None
    require(examine(kubernetes, demanded(options), options.s3_endpoint))
    return kubernetes


def demanded(options: argparse.Namespace) -> Demand:
    """What is asked of the cluster.

    Raises:
        SeglineError: there is no such accelerator or profile.
    """
    return Demand.of(options.accelerator, options.profile, options.gpu_types)


def require(findings: Sequence[Finding]) -> None:
    """Raise SeglineError if anything is missing, all of it in one line."""
    missing = [f"{finding.name}: {finding.detail}" for finding in findings if finding.ok is False]
    if missing:
        raise SeglineError("; ".join(missing))


@dataclass(frozen=True)
class Asked:
    """A task, as a person would fill it in."""

    name: str
    parameters: Mapping[str, str]

    @classmethod
    def of(cls, options: argparse.Namespace, more: Sequence[str] = ()) -> "Asked":
        """From a command line, with ``more`` overrides; what does not come along with segline goes as JSON.

        Raises:
            SeglineError: there is no such task, an override is wrong, or the volumes lie on this machine,
                where no pod can read them.
        """
        overrides = [*options.set, *more]
        task = read_task(options.task, overrides, options.data or "")
        if Path(task.source).expanduser().exists():
            raise SeglineError(
                f"{task.source}: lies on this machine; upload it, and give DATA=s3://bucket/prefix"
            )
        if options.task in names():
            given = {"task": options.task, "overrides": shlex.join(overrides), "data": options.data or ""}
        else:
            given = {"task": json.dumps(task.model_dump())}
        return cls(task.name, {name: value for name, value in given.items() if value})


def submit(service: Service, asked: Asked, options: argparse.Namespace) -> str:
    """Start a run of a task, or a cross-validation of it; its id."""
    of_folds = ensemble_pipeline if options.ensemble else folds_pipeline
    pipeline = of_folds if options.folds else segline_pipeline
    name = f"{asked.name}-{datetime.now():%Y%m%d-%H%M%S}"
    version = upload(service, pipeline.name, demanded(options))
    return service.start(name, service.experiment(asked.name), version, asked.parameters)


def upload(service: Service, pipeline: str, demand: Demand) -> UploadedVersion:
    """A pipeline as it is now, uploaded unless the very same is there."""
    with tempfile.TemporaryDirectory() as folder:
        package = compile_package(pipeline, Variant.of(demand), Path(folder))
        version = service.version(pipeline, package.path, package.version)
    sys.stdout.write(f"{package.version}: {'uploaded' if version.uploaded else 'there already'}\n")
    return version


@dataclass(frozen=True)
class Follower:
    """Which run to follow, and how."""

    service: Service
    kubernetes: Kubernetes | None
    """Tells why a pod does not start, if it can be asked."""
    run_id: str
    interval_s: float
    patience_s: float
    """How long the service may stay away."""


def follow(follower: Follower, out: TextIO | None = None) -> int:
    """Print each stage's changes of state until the run ends; 0 if it succeeded, else 1."""
    out = out or sys.stdout
    shown: dict[str, str] = {}
    pods: list[RunPod] = []
    try:
        while not (run := _state(follower)).ended:
            pods = _pods(follower)
            _show(_states(run, pods), shown, out)
            _require_started(pods)
            time.sleep(follower.interval_s)
    except SeglineError as error:
        sys.stderr.write(f"segline: {error}\n")
        return 1
    except KeyboardInterrupt:
        out.write(f"the run goes on: {follower.service.link(follower.run_id)}\n")
        return 1
    pods = _pods(follower) or pods
    _show(_states(run, pods), shown, out)
    summary = _summary(follower, pods)
    told = summary.status if summary and summary.status in ("blocked", "unchanged") else run.state.lower()
    out.write(f"{told}: {follower.service.link(follower.run_id)}\n")
    reasons = summary.reasons if summary else _last_words(follower, pods) or run.reasons
    for reason in (*reasons, *_outgrown(pods)):
        sys.stderr.write(f"segline: {reason}\n")
    return 0 if run.state == "SUCCEEDED" else 1


def _state(follower: Follower) -> RunState:
    """How far the run is, once the service answers."""
    until = time.monotonic() + follower.patience_s
    while True:
        try:
            return follower.service.run(follower.run_id)
        except UnansweredError as error:
            if time.monotonic() > until:
                link = follower.service.link(follower.run_id)
                raise SeglineError(f"{error}; the run may go on: {link}") from error
            time.sleep(follower.interval_s)


def _states(run: RunState, pods: Sequence[RunPod]) -> Iterator[tuple[str, str, str]]:
    """Key, name and state of each stage: of its pod, else as the service tells: few of a large run."""
    if any(pod.stage for pod in pods):
        yield from ((pod.pod.metadata.name, pod.stage, pod.state) for pod in pods if pod.stage)
    else:
        yield from ((task.id, task.name, task.state.lower()) for task in run.stages)
    yield from ((pod.name, pod.name, pod.state) for pod in pods if not pod.stage and pod.waits_for)


def _show(states: Iterable[tuple[str, str, str]], shown: dict[str, str], out: TextIO) -> None:
    for key, name, state in states:
        if shown.get(key) != state:
            shown[key] = state
            out.write(f"{datetime.now():%H:%M:%S}  {name:24} {state}\n")
    out.flush()


def _pods(follower: Follower) -> list[RunPod]:
    if follower.kubernetes:
        with suppress(SeglineError):  # it only adds to what the service tells
            return follower.kubernetes.pods_of(follower.run_id)
    return []


def _require_started(pods: Sequence[RunPod]) -> None:
    stuck = [f"{pod.name}: {pod.stuck_for}" for pod in pods if pod.stuck_for]
    if stuck:
        raise SeglineError(f"{'; '.join(stuck)}; the run waits for it")


def _summary(follower: Follower, pods: Sequence[RunPod]) -> Summary | None:
    """What the run itself has left in the bucket, read through the service's pages."""
    name = next((pod.workflow for pod in pods if pod.workflow), "")
    if not follower.kubernetes or not name:
        return None
    # without it the service's own words are told
    with suppress(SeglineError, ValidationError, KeyError):
        place = follower.kubernetes.config(SETTINGS)
        uri = f"{place['SEGLINE_BUCKET']}/runs/{name}/{SUMMARY}"
        namespace = follower.kubernetes.namespace
        return Summary.model_validate_json(follower.service.read_object(uri, place, namespace))
    return None


def _last_words(follower: Follower, pods: Sequence[RunPod]) -> list[str]:
    """Of the stages that failed, where nothing else tells them: a run without a report."""
    said: list[str] = []
    for pod in pods:
        if follower.kubernetes and pod.stage and pod.state == "failed":
            with suppress(SeglineError):  # the pod may be gone, and its log with it
                said.append(follower.kubernetes.last_words(pod))
    return [line for line in said if line]


def _outgrown(pods: Sequence[RunPod]) -> list[str]:
    more = "give it more in pipelines/cluster/footprint.py"
    return [
        f"{pod.name}: killed, it needs more memory than {pod.outgrown}; {more}"
        for pod in pods
        if pod.outgrown
    ]


def parser(name: str, about: str | None) -> argparse.ArgumentParser:
    """The options of all that speaks to a cluster; addresses and the token come from the environment."""
    environment = os.environ
    made = argparse.ArgumentParser(prog=f"python -m {name}", description=about)
    made.add_argument("--task", default="phantom", help="name below segline/tasks, or a YAML's path")
    made.add_argument("--data", help="where the volumes come from, instead of the task's source")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override the plan")
    made.add_argument("--accelerator", default=environment.get("ACCELERATOR") or "nvidia")
    add_demand(made, environment)
    made.add_argument("--host", default=environment.get("KFP_HOST"), help="address of Kubeflow Pipelines")
    made.add_argument(
        "--user-namespace",
        default=environment.get("KFP_NAMESPACE", ""),
        help="whose runs these are, if the service is one for many users",
    )
    made.add_argument("--kubeconfig", type=Path, help="instead of $KUBECONFIG or ~/.kube/config")
    made.add_argument("--interval", type=float, default=5, help="seconds between two looks (5)")
    made.add_argument("--answer", type=float, default=30, help="seconds to wait for an answer (30)")
    made.add_argument("--patience", type=float, default=300, help="seconds it may stay away (300)")
    made.add_argument("--detach", action="store_true", help="do not follow the run")
    made.set_defaults(token=environment.get("KFP_TOKEN", ""), s3_endpoint=environment.get("S3_ENDPOINT", ""))
    return made


def _parser() -> argparse.ArgumentParser:
    made = parser("pipelines.submit", __doc__)
    made.add_argument(
        "--folds", type=int, metavar="K", help="cross-validate: K models, every case tested once"
    )
    made.add_argument(
        "--ensemble", action="store_true", help="with --folds: their models as one, judged on other cases"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
