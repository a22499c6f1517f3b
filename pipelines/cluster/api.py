"""A connection to a cluster's API, and its errors in one line."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.cluster.names import NAMESPACE, RUN_LABEL, STAGE_LABEL
from segline.common.errors import SeglineError, imports_of

_TIMEOUT_S = (5, 20)


_LAST_LINES = 60
_STUCK = ("ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")


@dataclass(frozen=True)
class Kubernetes:
    """A connection to a cluster's API, within one namespace."""

    api: Any
    """The ``kubernetes`` package's client."""
    namespace: str = NAMESPACE

    @classmethod
    def connect(cls, kubeconfig: Path | None = None, namespace: str = NAMESPACE) -> "Kubernetes":
        """Through a kubeconfig (``$KUBECONFIG`` or ``~/.kube/config``), or a pod's own service account.

        Raises:
            SeglineError: there is neither, or the kubeconfig is damaged.
        """
        with imports_of("pipelines", "to ask the cluster"):
            from kubernetes import client, config
        settings = client.Configuration()
        try:
            if kubeconfig is None and Path("/var/run/secrets/kubernetes.io/serviceaccount/token").is_file():
                config.load_incluster_config(client_configuration=settings)
            else:
                found = str(kubeconfig) if kubeconfig else None
                config.load_kube_config(config_file=found, client_configuration=settings)
        except Exception as error:  # the package raises several kinds, YAML's among them
            where = kubeconfig or "$KUBECONFIG or ~/.kube/config"
            raise SeglineError(f"{where}: no usable kubeconfig ({error}); set KUBECONFIG") from error
        settings.retries = False
        return cls(client.ApiClient(settings), namespace)

    def read(self, kind: str, name: str) -> Any:
        """An object of the namespace, such as a ``config_map``; None where there is none."""
        return self._asked(lambda: getattr(self._core, f"read_namespaced_{kind}")(name, self.namespace, **_T))

    def config(self, name: str) -> Mapping[str, str]:
        """What a ConfigMap of the namespace says; nothing where there is none."""
        found = self.read("config_map", name)
        return (found.data if found else None) or {}

    def listed(self, kind: str, **selection: Any) -> list[Any]:
        """Objects of the namespace, such as ``pod``."""
        ask = getattr(self._core, f"list_namespaced_{kind}")
        found = self._asked(lambda: ask(self.namespace, **selection, **_T))
        return list(found.items) if found else []

    @property
    def version(self) -> str:
        """The cluster's own version."""
        from kubernetes import client

        found = self._asked(lambda: client.VersionApi(self.api).get_code(**_T))
        return str(found.git_version) if found else "unknown"

    @property
    def nodes(self) -> list[Any]:
        """All nodes."""
        found = self._asked(lambda: self._core.list_node(**_T))
        return list(found.items) if found else []

    @property
    def pods(self) -> list[Any]:
        """All pods that hold room on a node, whoever's they are, but those of runs, which end."""
        selected = f"!{RUN_LABEL}"
        answer = self._asked(lambda: self._core.list_pod_for_all_namespaces(label_selector=selected, **_T))
        held = [pod for pod in answer.items if pod.spec.node_name] if answer else []
        return [pod for pod in held if pod.status.phase not in ("Succeeded", "Failed")]

    @property
    def has_namespace(self) -> bool:
        """Whether the namespace exists."""
        return self._asked(lambda: self._core.read_namespace(self.namespace, **_T)) is not None

    def served(self, service: str, namespace: str, path: str) -> Any:
        """What a service in the cluster answers, through the API server; None where there is no such."""
        ask = self._core.connect_get_namespaced_service_proxy_with_path
        return self._asked(lambda: ask(service, namespace, path, **_T))

    def pods_of(self, run_id: str) -> list["RunPod"]:
        """The pods of a pipeline's run."""
        pods = self.listed("pod", label_selector=f"pipeline/runid={run_id}")
        return [RunPod(pod) for pod in pods]

    def last_words(self, pod: "RunPod") -> str:
        """The line with which a stage ended, from its log; empty where it has none."""
        ask = self._core.read_namespaced_pod_log
        name = pod.pod.metadata.name
        log = self._asked(lambda: ask(name, self.namespace, container="main", tail_lines=_LAST_LINES, **_T))
        said = [line for line in str(log or "").splitlines() if line.startswith(f"segline {pod.stage}")]
        return said[-1].removeprefix("segline ") if said else ""

    @property
    def _core(self) -> Any:
        from kubernetes import client

        return client.CoreV1Api(self.api)

    def _asked(self, ask: Callable[[], Any]) -> Any:
        with _readable_errors(self.api.configuration.host):
            try:
                return ask()
            except Exception as error:
                if getattr(error, "status", None) == 404:
                    return None
                raise


class ForbiddenError(SeglineError):
    """The account may not look at this; whether it is there is unknown."""


@dataclass(frozen=True)
class RunPod:
    """A pod of a run, and why it does not get on."""

    pod: Any
    """The ``kubernetes`` package's object."""

    @property
    def stage(self) -> str:
        """The stage that it runs; empty for a pod of Kubeflow's own."""
        return str(self._labels.get(STAGE_LABEL, ""))

    @property
    def name(self) -> str:
        """Of the stage, or of the pod."""
        return self.stage or str(self.pod.metadata.name)

    @property
    def state(self) -> str:
        """How far it is, and what it waits for."""
        return f"waits: {self.waits_for}" if self.waits_for else str(self.pod.status.phase).lower()

    @property
    def workflow(self) -> str:
        """The run's name in the cluster, and in the bucket; empty where Argo has not made the pod."""
        return str(self._labels.get("workflows.argoproj.io/workflow", ""))

    @property
    def waits_for(self) -> str:
        """What the scheduler lacks to place it; empty where it is placed."""
        for condition in self.pod.status.conditions or []:
            if condition.type == "PodScheduled" and condition.status == "False":
                return str(condition.message or condition.reason).partition(" preemption:")[0].rstrip(".")
        return ""

    @property
    def stuck_for(self) -> str:
        """What it lacks that will not come by itself, and what to do."""
        for status in self._containers:
            waiting = status.state.waiting if status.state else None
            if waiting and waiting.reason == "CreateContainerConfigError":
                return f"{waiting.message}; python -m pipelines.check says how to make it"
            if waiting and waiting.reason in _STUCK:
                return (
                    f"image {status.image} cannot be pulled ({waiting.message}); "
                    "push it, or give the cluster the registry's credentials"
                )
        return ""

    @property
    def outgrown(self) -> str:
        """The limit of memory that it was killed for; empty where it was not."""
        for status in self._containers:
            ended = status.state.terminated if status.state else None
            if ended and ended.reason == "OOMKilled":
                box = next(one for one in self.pod.spec.containers if one.name == status.name)
                return str((box.resources.limits or {}).get("memory", "the node's"))
        return ""

    @property
    def _labels(self) -> Mapping[str, str]:
        return self.pod.metadata.labels or {}

    @property
    def _containers(self) -> list[Any]:
        status = self.pod.status
        return [*(status.init_container_statuses or []), *(status.container_statuses or [])]


@contextmanager
def _readable_errors(host: str) -> Iterator[None]:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        if error.status == 401:
            raise SeglineError(f"{host}: not authorised; log in to the cluster again") from error
        if error.status == 403:
            raise ForbiddenError(f"{host}: this account may not look at it") from error
        raise SeglineError(f"{host}: the cluster answers {error.status} {error.reason}") from error
    except (HTTPError, OSError) as error:
        reason = str(error).rpartition(": ")[2]
        raise SeglineError(f"{host}: the cluster cannot be reached ({reason}); check KUBECONFIG") from error


_T: Mapping[str, Any] = {"_request_timeout": _TIMEOUT_S}
