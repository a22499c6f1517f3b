"""The cases of a data set measured in several processes, each of which holds one case at a time."""

from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from segline.common.errors import SeglineError
from segline.common.parallel import tell_each
from segline.common.processes.forks import deaf_to_ctrl_c, end_with_parent, forks
from segline.common.progress import Progress, silent
from segline.data.manifest import CaseEntry, Manifest
from segline.data.verification import Fault
from segline.exploration.measures import OUTSIDE, CaseMeasures, measure_case

_NUMBERS_KEPT = 20_000_000
"""Intensities that the samples of all cases hold together: 80 MB."""
_MOST_SAMPLES, _FEWEST_SAMPLES = 20_000, 100
"""Voxels of a label and case."""

Measured = dict[str, CaseMeasures | Fault]
"""By case, in the order of the manifest."""


def measure(manifest: Manifest, workers: int, progress: Progress = silent) -> Measured:
    """Measure every case, one worker in this process; of one that cannot be read any more, why.

    Raises:
        SeglineError: a process was killed.
    """
    samples = _samples(manifest)
    if workers == 1 or len(manifest.cases) == 1:
        each = ((case.name, _measured(manifest, case, samples)) for case in manifest.cases)
        return dict(tell_each(each, len(manifest.cases), "cases measured", progress))
    return _in_processes(manifest, samples, workers, progress)


def _in_processes(manifest: Manifest, samples: int, workers: int, progress: Progress) -> Measured:
    measured: Measured = {}
    cases, context = manifest.cases, forks(__name__)
    with ProcessPoolExecutor(min(workers, len(cases)), context, _start_worker, (manifest, samples)) as pool:
        with deaf_to_ctrl_c():
            futures = {pool.submit(_measure_here, case): case.name for case in cases}
        try:
            for number, future in enumerate(as_completed(futures), 1):
                measured[futures[future]] = future.result()
                progress(number / len(cases), f"{number} of {len(cases)} cases measured")
        except BrokenProcessPool as error:
            raise SeglineError(
                f"explore: a process was killed, perhaps for lack of memory ({workers} run at a time); "
                "allow more memory or fewer CPUs and run again"
            ) from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return {case.name: measured[case.name] for case in cases}


def _samples(manifest: Manifest) -> int:
    """Voxels of each label and case, of which thousands of cases keep fewer."""
    shares = len(manifest.cases) * len({*manifest.labels, OUTSIDE}) * len(manifest.modalities)
    return min(max(_NUMBERS_KEPT // shares, _FEWEST_SAMPLES), _MOST_SAMPLES)


_HERE: list[tuple[Manifest, int]] = []
"""Of this process, if it is a worker."""


def _start_worker(manifest: Manifest, samples: int) -> None:
    end_with_parent()
    _HERE.append((manifest, samples))


def _measure_here(case: CaseEntry) -> CaseMeasures | Fault:
    manifest, samples = _HERE[0]
    return _measured(manifest, case, samples)


def _measured(manifest: Manifest, case: CaseEntry, samples: int) -> CaseMeasures | Fault:
    try:
        return measure_case(manifest, case, samples)
    except SeglineError as error:
        return Fault(case.name, error)
