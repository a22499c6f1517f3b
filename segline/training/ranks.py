"""Several processes that train as one: a rank each, a part of every batch each."""

import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, distributed, nn

from segline.common.errors import SeglineError, plain_error
from segline.common.processes.forks import deaf_to_ctrl_c, end_with_parent, forks

Item = TypeVar("Item")
Given = ParamSpec("Given")
Tell = Callable[[Any], None]
"""Sends something that pickles to the process that started the ranks."""

_LONGEST_WAIT = timedelta(minutes=30)
"""For another rank, which may have validations or a checkpoint to finish; then it counts as stuck."""
_SECONDS_FOR_OTHERS = 2.0
"""When one rank fails the others fail for want of it; who was first may be heard last."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together; by default it is alone."""

    rank: int = 0
    size: int = 1

    def join(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are the mean over all ranks."""
        if self.size == 1:
            return network
        # a kernel of one voxel lies in memory alike channels last or not, and torch takes them for different
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return nn.parallel.DistributedDataParallel(network)

    def synchronise(self, network: nn.Module) -> nn.Module:
        """Let BatchNorm have the statistics of the whole batch; on a GPU, where torch can."""
        on_gpu = next(network.parameters()).is_cuda
        return nn.SyncBatchNorm.convert_sync_batchnorm(network) if self.size > 1 and on_gpu else network

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Those of the items that this rank works on."""
        return items[self.rank :: self.size]

    def add_up(self, sums: Tensor) -> Tensor:
        """The sum over all ranks, through which gradients flow."""
        if self.size == 1:
            return sums
        total: Tensor = _Sum.apply(sums)
        return total

    def agree(self, number: float) -> float:
        """The first rank's number: what hangs on a clock must be the same everywhere."""
        if self.size == 1:
            return number
        said = torch.tensor([number], dtype=torch.float64)
        distributed.broadcast(said, src=0)
        return float(said)


ALONE = Ranks()


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, part: Tensor) -> Tensor:
        total = part.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(_, gradient)


def in_ranks(
    name: str,
    size: int,
    heed: Tell,
    work: Callable[Concatenate[Ranks, Tell, Given], None],
    *given: Given.args,
    **named: Given.kwargs,
) -> None:
    """Do ``work`` in so many processes at once; all of them end with the first that fails, or with this one.

    Args:
        heed: is given what a rank tells.
        work: a function of a module, called with the rank, how to tell, and what is given; all must pickle.

    Raises:
        SeglineError: a rank's own; or one crashed, was killed, or met a defect, whose traceback is printed.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        _started(size, Path(folder, "meeting"), work, given, named) as ranks,
    ):
        failures = _listen(ranks, heed)
    if failures:
        raise _cause(name, failures)


@dataclass(frozen=True)
class _Failure:
    rank: int
    error: SeglineError | None = None
    traceback: str = ""
    exit_code: int | None = None


@contextmanager
def _started(
    size: int, meeting: Path, work: Callable, given: tuple, named: dict
) -> Iterator[dict[Connection, tuple[int, BaseProcess]]]:
    context = forks(work.__module__)
    ranks: dict[Connection, tuple[int, BaseProcess]] = {}
    try:
        for rank in range(size):
            receiver, sender = context.Pipe(duplex=False)
            process: BaseProcess = context.Process(
                target=_work, args=(sender, Ranks(rank, size), meeting, work, given, named)
            )
            ranks[receiver] = (rank, process)
            with deaf_to_ctrl_c():
                process.start()
            sender.close()
        yield ranks
    finally:
        for receiver, (_, process) in ranks.items():
            if process.pid is not None:
                process.kill()
                process.join()
            receiver.close()


def _listen(ranks: dict[Connection, tuple[int, BaseProcess]], heed: Tell) -> list[_Failure]:
    """Heed the ranks until all are done, or one failed and the others had a moment to say why."""
    failures: list[_Failure] = []
    heard = dict(ranks)
    while heard:
        ready = wait(list(heard), _SECONDS_FOR_OTHERS if failures else None)
        if not ready:
            break
        for connection in [one for one in heard if one in ready]:
            try:
                news = connection.recv()
            except EOFError:
                rank, process = heard.pop(connection)
                process.join()
                failures += [_Failure(rank, exit_code=process.exitcode)] if process.exitcode else []
                continue
            if isinstance(news, _Failure):
                failures.append(news)
            else:
                heed(news)
    return failures


def _cause(name: str, failures: Sequence[_Failure]) -> SeglineError:
    """What began it: a rank's own words, else that one was killed, else the first defect."""
    for failure in failures:
        if failure.error:
            return failure.error
    for failure in failures:
        if failure.exit_code is not None and failure.exit_code < 0:
            ending = signal.Signals(-failure.exit_code).name
            return SeglineError(
                f"{name}: rank {failure.rank} was ended by {ending}, perhaps for lack of memory"
            )
    first = failures[0]
    sys.stderr.write(first.traceback)
    return SeglineError(f"{name}: rank {first.rank} met a defect; its messages above say which")


def _work(sender: Connection, ranks: Ranks, meeting: Path, work: Callable, given: tuple, named: dict) -> None:
    end_with_parent()
    try:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            init_method=meeting.as_uri(),
            rank=ranks.rank,
            world_size=ranks.size,
            timeout=_LONGEST_WAIT,
        )
        work(ranks, sender.send, *given, **named)
        distributed.destroy_process_group()
    except Exception as error:
        readable = plain_error(error)
        known = readable if isinstance(readable, SeglineError) else None
        sender.send(_Failure(ranks.rank, known, traceback.format_exc()))
