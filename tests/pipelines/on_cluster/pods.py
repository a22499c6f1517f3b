"""Every stage as the pod that the compiled pipeline describes, on a real cluster without Kubeflow Pipelines.

In place of Kubeflow's driver the local runner walks the DAG, and in place of its launcher a folder of the
node hands the artifacts on: it works where the node is this machine. All else is as the pipeline says.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from kfp import dsl, local
from kfp.local import docker_task_handler
from kfp.local.status import Status
from kubernetes import client

from pipelines.cluster.names import NAMESPACE, RUN_LABEL
from pipelines.compile import compile_package, for_cluster, read_documents
from pipelines.docker import Stage
from pipelines.resources import Variant

ACCOUNT = "pipeline-runner"
"""Of Kubeflow Pipelines."""
_POLL_S = 0.5
_KNOWN = {
    "activeDeadlineSeconds",
    "configMapAsEnv",
    "emptyDirMounts",
    "nodeAffinity",
    "podMetadata",
    "secretAsEnv",
    "securityContext",
    "tolerations",
}

Object = dict[str, Any]


@dataclass(frozen=True)
class Executor:
    """What a compiled pipeline says of the pods of one stage."""

    container: Object
    platform: Object
    retries: int

    def pod(self, name: str, command: list[str], claim: str = "", artifacts: Path = Path("/tmp")) -> Object:
        """The pod that Kubeflow's driver makes of it; a claim is seen at ``artifacts``."""
        assert self.platform.keys() <= _KNOWN, f"unknown: {self.platform.keys() - _KNOWN}"
        volumes, mounts = [], []
        for each in self.platform.get("emptyDirMounts", []):
            given = {key: each[key] for key in ("medium", "sizeLimit") if key in each}
            volumes.append({"name": each["volumeName"], "emptyDir": given})
            mounts.append({"name": each["volumeName"], "mountPath": each["mountPath"]})
        if claim:
            volumes.append({"name": "artifacts", "persistentVolumeClaim": {"claimName": claim}})
            mounts.append({"name": "artifacts", "mountPath": str(artifacts)})
        labels = {RUN_LABEL: "true", **self.platform["podMetadata"]["labels"]}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "spec": {
                "serviceAccountName": ACCOUNT,
                "restartPolicy": "Never",
                "activeDeadlineSeconds": int(self.platform["activeDeadlineSeconds"]),
                "affinity": {"nodeAffinity": self._affinity()},
                "tolerations": self.platform.get("tolerations", []),
                "volumes": volumes,
                "containers": [self._main(command) | {"volumeMounts": mounts}],
            },
        }

    def _main(self, command: list[str]) -> Object:
        context = self.platform["securityContext"]
        return {
            "name": "main",
            "image": self.container["image"],
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "env": self._environment(),
            "resources": self._resources(),
            "securityContext": {
                "runAsUser": int(context["runAsUser"]),
                "runAsGroup": int(context["runAsGroup"]),
                "runAsNonRoot": context["runAsNonRoot"],
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }

    def _environment(self) -> list[Object]:
        values: list[Object] = list(self.container.get("env", []))
        for kind, lies_in, at, of in (
            ("secretAsEnv", "secretName", "secretKey", "secretKeyRef"),
            ("configMapAsEnv", "configMapName", "configMapKey", "configMapKeyRef"),
        ):
            for source in self.platform.get(kind, []):
                where = {"name": source[lies_in], "optional": source.get("optional", False)}
                for key in source["keyToEnv"]:
                    reference = {**where, "key": key[at]}
                    values.append({"name": key["envVar"], "valueFrom": {of: reference}})
        return values

    def _resources(self) -> Object:
        asked = self.container["resources"]
        requests = {"cpu": asked["resourceCpuRequest"], "memory": asked["resourceMemoryRequest"]}
        limits = {"cpu": asked["resourceCpuLimit"], "memory": asked["resourceMemoryLimit"]}
        if accelerator := asked.get("accelerator"):
            limits[accelerator["resourceType"]] = str(accelerator["resourceCount"])
        return {"requests": requests, "limits": limits}

    def _affinity(self) -> Object:
        required, preferred = [], []
        for term in self.platform.get("nodeAffinity", []):
            terms = {"matchExpressions": term["matchExpressions"]}
            if "weight" in term:
                preferred.append({"weight": int(term["weight"]), "preference": terms})
            else:
                required.append(terms)
        needed = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": required}}
        return {
            **(needed if required else {}),
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
        }


def executors(pipeline: str, target: Variant, folder: Path) -> Mapping[str, Executor]:
    """Those of a compiled pipeline, by name."""
    specification, platforms = read_documents(compile_package(pipeline, target, folder).path)
    of_cluster = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    tries = dict(_retries(specification))
    return {
        name: Executor(one["container"], of_cluster[name], tries[name])
        for name, one in specification["deploymentSpec"]["executors"].items()
    }


def _retries(specification: Object) -> Iterator[tuple[str, int]]:
    """How often each executor's pod is made again."""
    names = {name: part.get("executorLabel") for name, part in specification["components"].items()}
    dags = [specification["root"], *specification["components"].values()]
    for dag in (part["dag"] for part in dags if "dag" in part):
        for task in dag["tasks"].values():
            if label := names[task["componentRef"]["name"]]:
                yield label, int(task.get("retryPolicy", {}).get("maxRetryCount", 0))


def _try_once(specification: Any) -> None:
    """What fails is not tried again, as on a cluster; the local runner would."""
    for one in (specification.root, *specification.components.values()):
        for task in one.dag.tasks.values():
            task.ClearField("retry_policy")


@dataclass
class Pods:
    """Runs a pipeline, each stage in a pod of its own."""

    core: client.CoreV1Api
    executors: Mapping[str, Executor]
    folder: Path
    """For the artifacts."""
    disturb: Callable[[Stage, str], None] = lambda _stage, _pod: None
    """Called, in a thread, with each pod that runs."""
    made: list[str] = field(default_factory=list)
    """The stages, a name for each pod."""
    claim: str = ""

    def run(self, pipeline: str, target: Variant, **arguments: str) -> None:
        """Run a pipeline with what a person fills in."""
        self.folder.mkdir(parents=True)
        name = f"{pipeline}-{uuid4().hex[:5]}"
        with patch.object(dsl, "PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER", name):  # the local runner has none
            dag = for_cluster(pipeline, target)
        _try_once(dag.pipeline_spec)
        with self._replaced(), self._claimed(name):
            local.init(local.DockerRunner(), pipeline_root=str(self.folder), raise_on_error=False)
            dag(**arguments)

    @contextmanager
    def _claimed(self, name: str) -> Iterator[None]:
        """The folder as a claim: the namespace lets no pod mount a path of the node."""
        self.claim = f"artifacts-{name}"
        size = {"storage": "1Gi"}
        once: Object = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
        volume = {**once, "capacity": size, "hostPath": {"path": str(self.folder)}}
        volume["claimRef"] = {"namespace": NAMESPACE, "name": self.claim}
        claim = {**once, "volumeName": self.claim, "resources": {"requests": size}}
        self.core.create_persistent_volume({"metadata": {"name": self.claim}, "spec": volume})
        self.core.create_namespaced_persistent_volume_claim(
            NAMESPACE, {"metadata": {"name": self.claim}, "spec": claim}
        )
        try:
            yield
        finally:
            self.core.delete_namespaced_persistent_volume_claim(self.claim, NAMESPACE)
            self.core.delete_persistent_volume(self.claim)

    @contextmanager
    def _replaced(self) -> Iterator[None]:
        def run(handler: docker_task_handler.DockerTaskHandler) -> Status:
            return (
                Status.SUCCESS if self._status(handler.full_command, handler.image) == 0 else Status.FAILURE
            )

        kept = docker_task_handler.DockerTaskHandler.run
        docker_task_handler.DockerTaskHandler.run = run
        try:
            yield
        finally:
            docker_task_handler.DockerTaskHandler.run = kept

    def _status(self, command: list[str], image: str) -> int:
        stage = Stage.of(command)
        executor = self._executor(stage, image)
        for _ in range(executor.retries + 1):
            status = self._once(stage, executor, command)
            if status is not None:
                return status
            sys.stdout.write(f"{stage.record}: its pod is gone, and is made again\n")
        return 1

    def _executor(self, stage: Stage, image: str) -> Executor:
        called = "exec-" + stage.name.replace("_", "-")
        alike = [one for name, one in self.executors.items() if name.rstrip("-0123456789") == called]
        return next(one for one in alike if one.container["image"] == image)

    def _once(self, stage: Stage, executor: Executor, command: list[str]) -> int | None:
        """The exit status of its container; None where the pod was lost, which is made again then."""
        name = f"segline-check-{stage.name.replace('_', '-')}-{uuid4().hex[:8]}"
        self.made.append(stage.record)
        for path in (self.folder, *self.folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        self.core.create_namespaced_pod(NAMESPACE, executor.pod(name, command, self.claim, self.folder))
        disturbed = False
        while True:
            time.sleep(_POLL_S)
            try:
                pod = self.core.read_namespaced_pod(name, NAMESPACE)
            except client.ApiException as error:
                if error.status == 404:
                    return None
                raise
            if pod.metadata.deletion_timestamp:
                continue
            if pod.status.phase == "Running" and not disturbed:
                disturbed = True
                threading.Thread(target=self.disturb, args=(stage, name), daemon=True).start()
            if pod.status.phase in ("Succeeded", "Failed"):
                break
        sys.stdout.write(self.core.read_namespaced_pod_log(name, NAMESPACE))
        ended = pod.status.container_statuses[0].state.terminated
        self.core.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=0)
        return int(ended.exit_code)
