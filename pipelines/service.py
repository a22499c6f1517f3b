"""A Kubeflow Pipelines service: its v2beta1 REST API, with faults told in one line."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import kfp_server_api as api
from urllib3 import Timeout
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError

from pipelines.cluster.footprint import STAGES
from pipelines.cluster.names import S3_KEYS, S3_PLACE, S3_SECRET
from segline.common.errors import SeglineError

SCHEDULED = "segline-"
"""How the names of this pipeline's recurring runs begin."""

_NUMBERED = re.compile(r"-\d+$")
"""How a task is called whose component is in the DAG more than once."""
_CONNECT_S = 5
_PAGE = 100
_EQUALS = 1


class UnansweredError(SeglineError):
    """The service did not answer this time; it may later."""


@dataclass(frozen=True)
class UploadedVersion:
    """An uploaded version of the pipeline."""

    pipeline_id: str
    version_id: str
    uploaded: bool
    """Whether it was not there before."""


@dataclass(frozen=True)
class TaskState:
    """How far one task of a run is."""

    id: str
    name: str
    state: str
    error: str = ""


@dataclass(frozen=True)
class RunState:
    """How far a run is."""

    state: str
    error: str
    tasks: tuple[TaskState, ...]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")

    @property
    def reasons(self) -> list[str]:
        """Why it failed, a line for each stage that did; the service knows the words of few."""
        failed = {task.name: task.error for task in self.stages if task.state == "FAILED"}
        lines = [f"{name}: {error or 'failed; its log says why'}" for name, error in failed.items()]
        return lines or ([self.error] if self.error else [])

    @property
    def stages(self) -> list[TaskState]:
        """The tasks of the DAG alone: the service adds drivers, executors, loops, and copies of all."""
        return [task for task in self.tasks if _NUMBERED.sub("", task.name).replace("-", "_") in STAGES]


@dataclass(frozen=True)
class RecurringRun:
    """A recurring run."""

    id: str
    name: str
    cron: str
    enabled: bool


@dataclass(frozen=True)
class Service:
    """A Kubeflow Pipelines service.

    Raises:
        SeglineError: from every method, where the service cannot be reached, refuses, or is something else;
            :class:`UnansweredError` where trying again later may help.
    """

    host: str
    """Its address, such as ``http://localhost:8080``."""
    namespace: str = ""
    """Whose runs these are, where the service is one for many users."""
    token: str = field(default="", repr=False)
    answer_s: float = 30
    """How long to wait for an answer."""

    def experiment(self, name: str) -> str:
        """The id of an experiment, made if there is none of this name."""
        found = self._named(
            "experiments",
            name,
            lambda **page: self._experiments.experiment_service_list_experiments(**self._space, **page),
        )
        if found:
            return str(found[0].experiment_id)
        wanted = api.V2beta1Experiment(display_name=name, **self._space)
        created = self._asked(lambda **t: self._experiments.experiment_service_create_experiment(wanted, **t))
        return str(created.experiment_id)

    def version(self, pipeline: str, package: Path, name: str) -> UploadedVersion:
        """The version ``name`` of a pipeline, uploaded if it is not there yet."""
        pipeline_id = self._pipeline(pipeline)
        found = self._version_id(pipeline_id, name)
        if found:
            return UploadedVersion(pipeline_id, found, uploaded=False)
        try:
            made = self._asked(
                lambda **t: self._uploads.upload_pipeline_version(
                    str(package), name=name, pipelineid=pipeline_id, **t
                )
            )
        except _ExistsError:  # someone else was faster
            return UploadedVersion(pipeline_id, self._version_id(pipeline_id, name), uploaded=False)
        return UploadedVersion(pipeline_id, str(made.pipeline_version_id), uploaded=True)

    def start(
        self, name: str, experiment_id: str, version: UploadedVersion, parameters: Mapping[str, Any]
    ) -> str:
        """Start a run; its id."""
        wanted = api.V2beta1Run(
            experiment_id=experiment_id,
            display_name=name,
            pipeline_version_reference=_reference(version),
            runtime_config=api.V2beta1RuntimeConfig(parameters=dict(parameters)),
        )
        return str(self._asked(lambda **t: self._runs.run_service_create_run(wanted, **t)).run_id)

    def run(self, run_id: str) -> RunState:
        """How far a run is."""
        found = self._asked(lambda **t: self._runs.run_service_get_run(run_id, **t))
        details = found.run_details.task_details if found.run_details else None
        tasks = tuple(_task_state(task) for task in details or [])
        return RunState(found.state or "PENDING", _message(found.error), tasks)

    def link(self, run_id: str) -> str:
        """Where a person looks at a run."""
        return f"{self.host.rstrip('/')}/#/runs/details/{run_id}"

    def read_object(self, uri: str, place: Mapping[str, str], namespace: str) -> bytes:
        """An object of a bucket, which the service's pages read with the keys of a secret of ``namespace``.

        Args:
            uri: ``s3://bucket/key``.
            place: the settings of the object store, by their names in the cluster.
            namespace: of the secret.
        """
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        access, secret = S3_KEYS
        endpoint, region, _ = (place[name] for name in S3_PLACE)
        given = {
            "endpoint": endpoint,
            "region": region,
            "disableSSL": str(endpoint.startswith("http://")).lower(),
            "forcePathStyle": "true",
            "fromEnv": "false",
            "secretName": S3_SECRET,
            "accessKeyKey": access,
            "secretKeyKey": secret,
        }
        asked = {"source": "s3", "namespace": namespace, "bucket": bucket, "key": key}
        asked["providerInfo"] = json.dumps({"Provider": "s3", "Params": given})
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        with self._told():
            answer = self._client.rest_client.pool_manager.request(
                "GET",
                f"{self.host.rstrip('/')}/artifacts/get?{urlencode(asked)}",
                headers=headers,
                timeout=Timeout(connect=_CONNECT_S, read=self.answer_s),
                retries=False,
            )
        if answer.status != 200:
            raise SeglineError(f"{uri}: the service cannot read it ({answer.status})")
        return bytes(answer.data)

    def schedules(self) -> list[RecurringRun]:
        """Every recurring run that segline made, newest first."""
        listed = self._pages(
            "recurring_runs",
            lambda **page: self._recurring.recurring_run_service_list_recurring_runs(**self._space, **page),
        )
        return [_schedule(one) for one in listed if str(one.display_name).startswith(SCHEDULED)]

    def schedule(
        self,
        name: str,
        cron: str,
        experiment_id: str,
        version: UploadedVersion,
        parameters: Mapping[str, Any],
    ) -> str:
        """Make a recurring run: one at a time, and what was missed is not made up for; its id."""
        wanted = api.V2beta1RecurringRun(
            display_name=name,
            experiment_id=experiment_id,
            pipeline_version_reference=_reference(version),
            runtime_config=api.V2beta1RuntimeConfig(parameters=dict(parameters)),
            trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=cron)),
            max_concurrency="1",
            no_catchup=True,
            mode="ENABLE",
        )
        made = self._asked(
            lambda **t: self._recurring.recurring_run_service_create_recurring_run(wanted, **t)
        )
        return str(made.recurring_run_id)

    def pause(self, schedule_id: str) -> None:
        """Start no more runs of a schedule."""
        self._asked(lambda **t: self._recurring.recurring_run_service_disable_recurring_run(schedule_id, **t))

    def resume(self, schedule_id: str) -> None:
        """Start runs of a paused schedule again."""
        self._asked(lambda **t: self._recurring.recurring_run_service_enable_recurring_run(schedule_id, **t))

    def delete(self, schedule_id: str) -> None:
        """Remove a schedule; its runs stay."""
        self._asked(lambda **t: self._recurring.recurring_run_service_delete_recurring_run(schedule_id, **t))

    def _pipeline(self, name: str) -> str:
        found = self._named(
            "pipelines",
            name,
            lambda **page: self._pipelines.pipeline_service_list_pipelines(**self._space, **page),
        )
        if found:
            return str(found[0].pipeline_id)
        wanted = api.V2beta1Pipeline(name=name, display_name=name, **self._space)
        made = self._asked(lambda **t: self._pipelines.pipeline_service_create_pipeline(wanted, **t))
        return str(made.pipeline_id)

    def _version_id(self, pipeline_id: str, name: str) -> str:
        found = self._named(
            "pipeline_versions",
            name,
            lambda **page: self._pipelines.pipeline_service_list_pipeline_versions(pipeline_id, **page),
        )
        return str(found[0].pipeline_version_id) if found else ""

    def _named(self, kind: str, name: str, ask: Callable[..., Any]) -> list[Any]:
        equal = {"operation": _EQUALS, "key": "display_name", "stringValue": name}
        wanted = json.dumps({"predicates": [equal]})
        return [one for one in self._pages(kind, ask, filter=wanted) if one.display_name == name]

    def _pages(self, kind: str, ask: Callable[..., Any], **selection: str) -> list[Any]:
        found: list[Any] = []
        token: str | None = ""
        while token is not None:
            page = {"page_token": token, "page_size": _PAGE, "sort_by": "created_at desc", **selection}
            answer = self._asked(lambda page=page, **t: ask(**page, **t))
            found += getattr(answer, kind) or []
            token = answer.next_page_token or None
        return found

    def _asked(self, ask: Callable[..., Any]) -> Any:
        with self._told():
            answer = ask(_request_timeout=(_CONNECT_S, self.answer_s))
        # The client makes an empty object of its models of whatever text comes, such as a login page.
        if "json" not in self._client.last_response.urllib3_response.headers.get("content-type", ""):
            raise SeglineError(f"{self.host}: does not speak Kubeflow Pipelines' API; check KFP_HOST")
        return answer

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except api.ApiException as error:
            raise _refusal(error, self) from error
        except ReadTimeoutError as error:
            raise UnansweredError(f"{self.host}: no answer within {self.answer_s:g} s") from error
        except (NewConnectionError, ConnectTimeoutError) as error:
            reason = str(error).rpartition(": ")[2]
            raise UnansweredError(
                f"{self.host}: cannot be reached ({reason}); check KFP_HOST, or forward a port: "
                "kubectl -n kubeflow port-forward svc/ml-pipeline-ui 8080:80"
            ) from error
        except HTTPError as error:
            raise UnansweredError(f"{self.host}: the connection broke ({error})") from error
        except ValueError as error:  # what the models of the API refuse
            raise SeglineError(
                f"{self.host}: no answer of Kubeflow Pipelines' v2beta1 API ({error}); check KFP_HOST"
            ) from error

    @property
    def _space(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}

    @cached_property
    def _client(self) -> Any:
        settings = api.Configuration(host=self.host.rstrip("/"))
        settings.retries = False
        if self.token:
            settings.api_key["authorization"] = self.token
            settings.api_key_prefix["authorization"] = "Bearer"
        return api.ApiClient(settings)

    @property
    def _experiments(self) -> Any:
        return api.ExperimentServiceApi(self._client)

    @property
    def _pipelines(self) -> Any:
        return api.PipelineServiceApi(self._client)

    @property
    def _uploads(self) -> Any:
        return api.PipelineUploadServiceApi(self._client)

    @property
    def _runs(self) -> Any:
        return api.RunServiceApi(self._client)

    @property
    def _recurring(self) -> Any:
        return api.RecurringRunServiceApi(self._client)


class _ExistsError(SeglineError):
    pass


def _reference(version: UploadedVersion) -> Any:
    return api.V2beta1PipelineVersionReference(
        pipeline_id=version.pipeline_id, pipeline_version_id=version.version_id
    )


def _task_state(task: Any) -> TaskState:
    return TaskState(
        str(task.task_id), str(task.display_name or ""), str(task.state or "PENDING"), _message(task.error)
    )


def _schedule(one: Any) -> RecurringRun:
    cron = one.trigger.cron_schedule.cron if one.trigger and one.trigger.cron_schedule else ""
    return RecurringRun(str(one.recurring_run_id), str(one.display_name), str(cron), one.status == "ENABLED")


def _message(error: Any) -> str:
    return " ".join(str(error.message or "").split()) if error else ""


def _refusal(error: Any, service: Service) -> SeglineError:
    host, said = service.host, _said(error)
    if error.status == 401:
        return SeglineError(f"{host}: not authorised; give a valid KFP_TOKEN")
    if re.search(r'namespaces? "?[\w-]+"? not found', said):
        name = service.namespace or "kubeflow"
        return SeglineError(f"{host}: namespace {name} is missing: kubectl create namespace {name}")
    if "exceeded quota" in said:
        return SeglineError(f"{host}: quota exceeded ({said}); end other runs or ask for more")
    if error.status == 403:
        space = f" in namespace {service.namespace}" if service.namespace else ""
        return SeglineError(f"{host}: not allowed{space} ({said}); ask for the role kubeflow-edit")
    if error.status == 409:
        return _ExistsError(f"{host}: {said}")
    if error.status in (429, 500, 502, 503, 504):  # 500 is what it says while its own server restarts
        return UnansweredError(f"{host}: answers {error.status} for the moment ({said})")
    return SeglineError(f"{host}: answers {error.status} ({said}); check KFP_HOST")


def _said(error: Any) -> str:
    """The service's own words, without its call stack."""
    try:
        told = json.loads(error.body)
        text = str(told.get("message") or told.get("error") or error.reason)
    except (TypeError, ValueError, AttributeError):
        text = str(error.reason)
    return " ".join(text.split())[:300]
