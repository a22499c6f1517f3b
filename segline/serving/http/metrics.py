"""Metrics, as Prometheus reads them: nothing in them is of a patient or a client."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from segline.serving.models.live import LiveModel
from segline.serving.work.desk import Desk
from segline.serving.work.job import Job

TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Metrics:
    """Counters of one server."""

    def __init__(self, live: LiveModel, desk: Desk) -> None:
        self._registry = CollectorRegistry()
        self._live, self._desk = live, desk
        self._requests = self._counter("requests", "Requests", "route", "status")
        self._answers = self._counter("answers", "Volumes that left the queue", "version", "status")
        self._odd = self._counter("remarked_answers", "Answers with a remark on their volume", "version")
        told = "Answers whose volume lies too far from what was learned"
        self._far = self._counter("untrusted_answers", told, "version", "reason")
        into = self._registry
        told = "Time of an answer's steps"
        self._steps = Histogram("segline_step_seconds", told, ["step"], buckets=_BUCKETS, registry=into)
        told = "The version that answers"
        self._version = Gauge("segline_model_info", told, ["version", "backend"], registry=into)
        for name, told, value in (
            ("queue_length", "Volumes that wait", lambda: desk.waiting),
            ("running", "Volumes at work", lambda: desk.running),
            ("reserved_bytes", "Memory reserved for volumes at work, as estimated", lambda: desk.used_bytes),
            ("shared_batch", "The most windows that share a batch", lambda: live.shared_batch),
            ("model_swaps", "Versions that took the place of another", lambda: live.swaps),
            ("model_refusals", "Versions that were not fit to", lambda: live.refusals),
        ):
            Gauge(f"segline_{name}", told, registry=self._registry).set_function(value)

    def request(self, route: str, status: int) -> None:
        """Count a response."""
        self._requests.labels(route, str(status)).inc()

    def ended(self, job: Job) -> None:
        """Count a job that ended."""
        answer: Mapping[str, Any] = job.answer or {}
        version = str(answer.get("model", ""))
        self._answers.labels(version, job.status.value).inc()
        if answer.get("remarks"):
            self._odd.labels(version).inc()
        if job.familiar and not job.familiar.trusted:
            for reason in job.familiar.kinds or ("other",):
                self._far.labels(version, reason).inc()
        for step, seconds in answer.get("seconds", {}).items():
            self._steps.labels(step).observe(seconds)

    def text(self) -> bytes:
        """All of them."""
        served = self._live.served
        self._version.clear()
        self._version.labels(served.name, served.backend.version).set(1)
        return generate_latest(self._registry)

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"segline_{name}", told, labels, registry=self._registry)
