"""One answer: from the files of a job to its mask and to what is said of it."""

import re
from pathlib import Path
from typing import Any

from segline.common.arrays import CPU, Array
from segline.common.errors import SeglineError
from segline.imaging.files import read_channels
from segline.inference.stitching import WindowScorer
from segline.inference.stopwatch import Stopwatch
from segline.serving.models.served import Served
from segline.serving.work.job import Job

_READ, _WINDOWS = 0.1, 0.8
"""Shares of the progress: what is done once the file is read, and what all windows are."""


def answer(job: Job, served: Served, network: WindowScorer) -> None:
    """Fill in ``job.answer`` and ``job.file``; ``network`` is the served one, however it is shared.

    Raises:
        SeglineError: a file cannot be read or answered, without the names of the folders it lies in.
        CancelledError: the job was cancelled meanwhile.
    """
    try:
        _answer(job, served, network)
    except SeglineError as error:
        raise type(error)(unplaced(str(error), job.sent.folder.parent)) from error


def unplaced(message: str, spool: Path) -> str:
    """Without where a file lies here, which is nobody's business.

    >>> unplaced("/tmp/spool/x1/image.nii.gz: no such file", Path("/tmp/spool"))
    'image.nii.gz: no such file'
    """
    within = re.escape(str(spool))
    inside = re.sub(f"{within}/[^/: ]+/", "", message)
    return re.sub(f"{within}/[^/: ]+", "upload", inside)


def _answer(job: Job, served: Served, network: WindowScorer) -> None:
    watch, answers = Stopwatch(), served.answers
    job.heed()
    with watch.lap("read"):
        volume = read_channels(job.sent.images)
    job.progress = _READ
    found = served.predictor(_Heeding(network, job), watch)(volume)
    job.heed()
    file = job.sent.folder / f"{answers.noun}{answers.suffixes[0]}"
    with watch.lap("write"):
        answers.write(file, found)
    with watch.lap("trust"):
        reply = served.judged(volume, found)
    if job.sent.wants_dicom:
        with watch.lap("dicom"):
            job.dicom = _dicom(job, served, found)
    said: dict[str, Any] = {
        **reply.figures,
        "remarks": list(reply.remarks),
        "trust": reply.trust,
        "model": served.name,
        "digests": served.digests,
        "backend": served.backend.version,
        "windows": watch.counts["windows"],
        "seconds": {step: round(took, 4) for step, took in watch.seconds.items()},
    }
    job.file, job.answer, job.familiar = file, said, reply.familiarity


def _dicom(job: Job, served: Served, found: Any) -> Path:
    """The answer as DICOM-SEG, which refers to the images that were sent."""
    from segline.imaging.dicom.sources import Source

    write_dicom = served.answers.write_dicom
    if write_dicom is None or job.sent.series is None:
        raise SeglineError("a DICOM-SEG is made of a mask of a DICOM series; ask for the answer itself")
    path = job.sent.folder / "segmentation.dcm"
    write_dicom(path, found, Source.at(job.sent.series), served.plan, served.algorithm)
    return path


class _Heeding:
    """A network that stops when its job is cancelled, and tells how far it is."""

    def __init__(self, network: WindowScorer, job: Job) -> None:
        self.device = getattr(network, "device", CPU)
        self._network, self._job, self._seen = network, job, 0

    def __call__(self, windows: Array) -> Array:
        """Class scores of windows."""
        self._job.heed()
        scores = self._network(windows)
        self._seen += len(windows)
        self._job.progress = _READ + _WINDOWS * min(1.0, self._seen / max(1, self._job.sent.windows))
        self._job.heed()
        return scores
