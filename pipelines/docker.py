"""Stages in containers, through Kubeflow's DockerRunner.

That runner lets Docker remove each container as it ends, and reads "not found" as success
(kubeflow/pipelines #13332); here a stage has succeeded only if its container's exit status says so.
"""

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import DeviceRequest
from kfp import local
from kfp.local import docker_task_handler
from urllib3.exceptions import HTTPError

from pipelines.cluster.footprint import STAGES, Demand, quantity
from pipelines.cluster.names import S3_KEYS, S3_PLACE, TRACKED, TRACKER_SETTINGS, WANDB_KEY
from pipelines.images import VERSION_LABEL, content_tag
from pipelines.interruption import Interruption
from pipelines.resources import USER_ID, Variant
from pipelines.stage import Stage
from segline.common.errors import SeglineError
from segline.common.limits import VARIABLE as LARGEST
from segline.machine.nvidia import nvidia_driver_missing
from segline.storage.access import Access, is_uri
from segline.tracking.asked import WANDB_FOLDER, tracker_folders

Volumes = dict[str, dict[str, str]]

S3_VARIABLES = (*S3_KEYS, *S3_PLACE, "AWS_ENDPOINT_URL", "S3_PATIENCE_S")
TRACKING_VARIABLES = (
    *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    "MLFLOW_PATIENCE_S",
)
"""What stages that are told of a tracking server may need to be let in."""
FETCHING = ("download", "intake")
"""The stages that read the task's source, which may be in a bucket."""
_NOT_STARTED = 130
_MEANING = {137: ": killed, most likely for want of memory"}
_FAULTS = (DockerException, HTTPError, OSError)
"""What the Docker client raises, and what it lets through when the engine goes away."""


@dataclass(frozen=True)
class User:
    """Whom the processes in containers run as, and who owns what they write."""

    uid: int
    gid: int

    @classmethod
    def caller(cls) -> "User":
        """Who runs this process."""
        return cls(os.getuid(), os.getgid())

    @classmethod
    def for_stages(cls) -> "User":
        """The caller; in place of root, the images' own user."""
        caller = cls.caller()
        return caller if caller.uid else cls(USER_ID, USER_ID)

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"


@dataclass(frozen=True)
class Engine:
    """A Docker engine that has the images of the stages."""

    client: docker.DockerClient
    gpu: bool
    """Whether stages that can use a GPU get one."""
    images: Mapping[str, str]
    """Image of each stage."""

    @classmethod
    def connect(cls, device: str) -> "Engine":
        """The engine that ``DOCKER_HOST`` names, or this machine's.

        Raises:
            SeglineError: there is none, or it lacks an image.
        """
        try:
            client = docker.from_env()
        except DockerException as error:
            told = f"no Docker engine answers ({_first_line(error)})"
            raise SeglineError(f"{told}; start one or set DOCKER_HOST, or leave out RUNNER=docker") from error
        gpu = device != "cpu" and nvidia_driver_missing() is None
        target = Variant.of(Demand("nvidia" if gpu else "none"))
        stages = target.demand.stages
        images = {name: target.image(of.gpu_image if of.gpu else "base") for name, of in stages.items()}
        for image in sorted(set(images.values())):
            _require(client, image)
        return cls(client, gpu, images)


@dataclass(frozen=True)
class Mounts:
    """What containers see of this machine, at the same paths."""

    work: tuple[Path, ...]
    """Folders to read and write: the run, the store, and those of trackers."""
    data: tuple[Path, ...]
    """To read only."""
    environment: Mapping[str, str]
    """Of which each stage gets only what it needs."""
    remote: bool
    """Whether the store is in S3."""

    @classmethod
    def of(cls, run: Path, store: str, source: str, environment: Mapping[str, str]) -> "Mounts":
        """Of a run whose data set is ``source``.

        Raises:
            SeglineError: the store holds this checkout.
        """
        remote, data = is_uri(store), Path(source.removeprefix("file://"))
        kept = Access.from_environment(environment).scratch if remote else Path(store.removeprefix("file://"))
        if Path(__file__).is_relative_to(kept):
            raise SeglineError(f"{kept}: holds segline itself; give STORE a folder of its own")
        trackers = tracker_folders(environment, run.parent)
        known = {**environment, **{name: str(folder) for name, folder in trackers.items()}}
        work = (run, kept.absolute(), *trackers.values())
        return cls(work, (data,) if data.is_absolute() else (), known, remote)

    def volumes(self, mode: str) -> dict[str, dict[str, str]]:
        """As Docker is told; ``mode`` is what else its engine wants to know, such as ``z``."""
        modes = {path: "ro" for path in self.data} | {path: "rw" for path in self.work}
        return {
            str(path): {"bind": str(path), "mode": ",".join(filter(None, (access, mode)))}
            for path, access in modes.items()
        }

    def variables(self, stage: Stage) -> dict[str, str]:
        """Keys of the object store, the registry and other trackers only for stages that go there."""
        names = [LARGEST]
        if stage.name in FETCHING or self.remote:
            names += S3_VARIABLES
        if "tracking" in stage.inputs:
            names += TRACKING_VARIABLES
        if stage.name in TRACKED:
            names += (*TRACKER_SETTINGS, WANDB_KEY, WANDB_FOLDER)
        passed = {name: self.environment[name] for name in names if name in self.environment}
        return passed | ({"SEGLINE_SCRATCH": str(self.work[1])} if self.remote else {})


@dataclass
class Containers:
    """The containers of one run, one a stage."""

    engine: Engine
    view: Mounts
    interruption: Interruption
    user: User = field(default_factory=User.for_stages)
    _to_end: "SimpleQueue[Container | None]" = field(default_factory=SimpleQueue)

    @contextmanager
    def runner(self) -> Iterator[local.DockerRunner]:
        """Kubeflow's runner, for as long as the block lasts.

        For root, what the stages may write to is theirs meanwhile, and the run's folder root's again after.
        """
        with self._owned(), self._removing():
            replaced = docker_task_handler.run_docker_container
            docker_task_handler.run_docker_container = self._run
            try:
                yield local.DockerRunner()
            finally:
                docker_task_handler.run_docker_container = replaced

    @contextmanager
    def _owned(self) -> Iterator[None]:
        caller = User.caller()
        for folder in self.view.work:
            folder.mkdir(parents=True, exist_ok=True)
            if caller != self.user:
                _hand_over(folder, caller, self.user)
        try:
            yield
        finally:
            if caller != self.user:
                _hand_over(self.view.work[0], self.user, caller)

    @contextmanager
    def _removing(self) -> Iterator[None]:
        """Remove in a thread what is to end: the handler of a signal cannot wait for Docker."""
        remover = threading.Thread(target=self._remove_told, daemon=True)
        remover.start()
        try:
            yield
        finally:
            self._to_end.put(None)
            remover.join()

    def _remove_told(self) -> None:
        for container in iter(self._to_end.get, None):
            _remove(container)

    def _run(
        self, client: docker.DockerClient, image: str, command: list[str], volumes: Volumes, **more: Any
    ) -> int:
        """In place of Kubeflow's function of the same arguments."""
        stage, image = Stage.of(command), self.engine.images[Stage.of(command).name]
        if self.interruption.forbids(stage):
            return _NOT_STARTED
        try:
            container = client.containers.create(image, command, **self._arguments(stage, volumes, more))
            status = self._status(stage, container)
            reason = f"its container ended with status {status}" + _MEANING.get(status, "")
        except _FAULTS as error:
            status, reason = 1, f"Docker: {_first_line(error)}"
        if status and self.interruption.signals:
            stage.record_interruption()
        elif status:
            stage.record_failure(reason)
        return status

    def _arguments(self, stage: Stage, volumes: Volumes, more: Mapping[str, Any]) -> dict[str, Any]:
        given = STAGES[stage.name]
        mode = next(iter(volumes.values()))["mode"].partition(",")[2]
        arguments = {
            "volumes": volumes | self.view.volumes(mode),
            "user": str(self.user),
            "environment": more.get("environment", {}) | self.view.variables(stage),
            # an address means the same in a container as it does here
            "network_mode": "host",
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "labels": {"segline.run": stage.inputs["run"], "segline.stage": stage.record},
        }
        if given.shm:
            arguments["shm_size"] = int(quantity(given.shm))
        if given.gpu and self.engine.gpu:
            arguments["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
        return arguments

    def _status(self, stage: Stage, container: Container) -> int:
        """The exit status of a container, read before it is removed; what it prints is passed on."""
        with self.interruption.watching(stage, partial(self._to_end.put, container)):
            try:
                container.start()
                for line in _lines(container.logs(stream=True, follow=True)):
                    sys.stdout.write(f"    {line}\n")
                return int(container.wait()["StatusCode"])
            finally:
                _remove(container)


def _hand_over(folder: Path, giver: User, taker: User) -> None:
    """Make ``taker`` the owner of everything of ``giver`` in a folder; for root alone."""
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # another run may be at work in the store
            if path.lstat().st_uid == giver.uid:
                os.chown(path, taker.uid, taker.gid, follow_symlinks=False)


def _require(client: docker.DockerClient, image: str) -> None:
    try:
        built_from = client.images.get(image).labels.get(VERSION_LABEL)
    except ImageNotFound as error:
        raise SeglineError(f"image {image}: not here; run `make images`") from error
    if built_from != content_tag():
        sys.stderr.write(
            f"segline: image {image} holds other code than this checkout; `make images` renews it\n"
        )


def _remove(container: Container) -> None:
    with suppress(NotFound, APIError):  # it may be on its way already
        container.remove(force=True)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Whole lines of output that comes in any pieces."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)
    if rest:
        yield rest.decode(errors="replace")


def _first_line(error: BaseException) -> str:
    told = getattr(error, "explanation", None) or str(error)
    return str(told).strip().partition("\n")[0]
