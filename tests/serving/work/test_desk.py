import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segline.data.phantom.scanner import phantom_case
from segline.imaging.files import write_volume
from segline.model.package import Model
from segline.serving.models.live import LiveModel
from segline.serving.models.served import Served
from segline.serving.work.desk import BusyError, Desk, Limits, TooLargeError
from segline.serving.work.job import Job, Sent, Status


@pytest.fixture(scope="module")
def live(tiny_model: Model) -> LiveModel:
    return LiveModel(Served(tiny_model, "tiny/1", "pytorch", "cpu").opened())


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., Job]:
    """Makes jobs of one CT."""
    image = tmp_path / "ct.nii.gz"
    write_volume(image, phantom_case(3)[0])
    numbers = iter(range(1000))

    def new(needs_bytes: int = 1) -> Job:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Job(Sent(folder, (image,), needs_bytes))

    return new


@pytest.fixture
def desk(live: LiveModel) -> Iterator[Callable[..., Desk]]:
    opened: list[Desk] = []

    def new(**limits: float) -> Desk:
        opened.append(Desk(live, Limits(**limits)))  # type: ignore[arg-type]
        return opened[-1]

    yield new
    for one in opened:
        one.close()


def test_jobs_are_answered_in_their_order(desk: Callable[..., Desk], job: Callable[..., Job]) -> None:
    jobs = [job() for _ in range(5)]
    one = desk(workers=1)
    for each in jobs:
        one.submit(each)
    for each in jobs:
        each.finished.result(30)
    assert [each.status for each in jobs] == [Status.DONE] * 5
    ends = [each.ended or 0 for each in jobs]
    assert ends == sorted(ends)
    assert jobs[0].answer and jobs[0].answer["model"] == "tiny/1" and jobs[0].progress == 1


def test_a_full_queue_takes_nothing_in(desk: Callable[..., Desk], job: Callable[..., Job]) -> None:
    full = desk(workers=1, waiting=2, memory_bytes=10)
    first = job(10)
    full.submit(first)
    with pytest.raises(BusyError, match="volumes wait already") as refused:
        for _ in range(20):
            full.submit(job(10))
    assert 1 <= refused.value.retry_after_s <= 120


def test_what_fits_into_no_memory_is_refused_at_once(
    desk: Callable[..., Desk], job: Callable[..., Job]
) -> None:
    with pytest.raises(TooLargeError, match="of memory"):
        desk(memory_bytes=10).submit(job(11))


def test_no_more_memory_is_reserved_than_may_be(desk: Callable[..., Desk], job: Callable[..., Job]) -> None:
    tight = desk(workers=4, memory_bytes=10)
    jobs = [job(6) for _ in range(6)]
    most = 0
    for each in jobs:
        tight.submit(each)
    while not all(each.finished.done() for each in jobs):
        most = max(most, tight.running)
        time.sleep(0.001)
    assert most == 1 and tight.used_bytes == 0


def test_a_job_that_waits_is_cancelled_at_once(desk: Callable[..., Desk], job: Callable[..., Job]) -> None:
    one = desk(workers=1)
    jobs = [job() for _ in range(4)]
    for each in jobs:
        one.submit(each)
    one.cancel(jobs[-1])
    assert jobs[-1].status is Status.CANCELLED and jobs[-1].finished.done()
    jobs[0].finished.result(30)


def test_a_job_at_work_stops_at_its_next_step(
    desk: Callable[..., Desk], job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    from segline.serving.work import answering

    read = answering.read_channels

    def slow(paths: tuple[Path, ...]) -> object:
        begun.set()
        assert go_on.wait(10)
        return read(paths)

    monkeypatch.setattr(answering, "read_channels", slow)
    one, each = desk(workers=1), job()
    one.submit(each)
    assert begun.wait(10)
    one.cancel(each)
    go_on.set()
    each.finished.result(30)
    assert each.status is Status.CANCELLED and each.answer is None


def test_a_bad_volume_fails_its_job_alone(
    desk: Callable[..., Desk], job: Callable[..., Job], tmp_path: Path
) -> None:
    (tmp_path / "bad.nii.gz").write_bytes(b"\x1f\x8bnot gzip")
    one, good = desk(workers=1), job()
    bad = Job(Sent(good.sent.folder, (tmp_path / "bad.nii.gz",), 1))
    one.submit(bad)
    one.submit(good)
    good.finished.result(30)
    assert bad.status is Status.FAILED and "damaged gzip" in bad.error
    assert good.status is Status.DONE


def test_draining_answers_what_was_taken_in_and_takes_nothing_more(
    desk: Callable[..., Desk], job: Callable[..., Job]
) -> None:
    one, jobs = desk(workers=1), [job() for _ in range(3)]
    for each in jobs:
        one.submit(each)
    assert one.drain(30)
    assert [each.status for each in jobs] == [Status.DONE] * 3
    with pytest.raises(BusyError, match="shuts down"):
        one.submit(job())
