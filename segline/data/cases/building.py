"""Cases brought into the cache, in several processes."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.common.locks import exclusive_for_once
from segline.common.parallel import do_all
from segline.common.processes.forks import deaf_to_ctrl_c, end_with_parent, forks
from segline.data.cases.index import case_folder, case_key
from segline.data.kept_files import bring_dataset
from segline.data.manifest import CaseEntry, Manifest
from segline.data.targets import Targets
from segline.data.targets.label_maps import LABEL_MAPS
from segline.imaging.preprocessing import Preprocessor
from segline.plan import Plan
from segline.storage.access import Access
from segline.storage.depot import Depot
from segline.storage.store import seal


def preprocess(
    manifest: Manifest,
    plan: Plan,
    depot: Depot,
    workers: int,
    access: Access | None = None,
    targets: Targets = LABEL_MAPS,
) -> Iterator[tuple[str, bool]]:
    """Bring every case of a data set into the depot's cache, in ``workers`` processes.

    Others may do the same at the same time. On one machine no case is computed twice; of machines that share
    a depot in S3, two may compute the same case at the same moment, with the same result.

    Args:
        access: how to reach the data set where it is not on this machine.
        targets: what is to be predicted of a case.

    Yields:
        Case name and whether it had to be computed, as they get done.

    Raises:
        SeglineError: a case cannot be preprocessed, has changed since it was verified, or a process was
            killed; the cases done before stay in the cache.
    """
    keys = {case.name: case_folder(case_key(case, plan)) for case in manifest.cases}
    there: set[str] = set()
    do_all(lambda key: there.add(key) if depot.has_folder(key) else None, keys.values(), depot.store.threads)
    yield from ((name, False) for name, key in keys.items() if key in there)
    missing = [case for case in manifest.cases if keys[case.name] not in there]
    if not missing:
        return
    context = forks(__name__)
    shared = _Shared(manifest, plan, depot, access, targets)
    # each process is told once what concerns all cases: of thousands, the manifest is megabytes
    with ProcessPoolExecutor(min(workers, len(missing)), context, _start_worker, (shared,)) as pool:
        with deaf_to_ctrl_c():
            futures = {pool.submit(_provide_here, case): case for case in missing}
        try:
            for future in as_completed(futures):
                yield futures[future].name, future.result()
        except BrokenProcessPool as error:
            raise SeglineError(
                f"preprocess: a process was killed, perhaps for lack of memory ({workers} run at a time); "
                "allow more memory or fewer CPUs and run again, the cases done are kept"
            ) from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@dataclass(frozen=True)
class _Shared:
    """What concerns all cases."""

    manifest: Manifest
    plan: Plan
    depot: Depot
    access: Access | None
    targets: Targets

    def provide(self, case: CaseEntry) -> bool:
        """Whether the case had to be computed: another process may have been faster."""
        depot, key = self.depot, case_key(case, self.plan)
        with exclusive_for_once(depot.path(f"locks/{key}.lock")):
            if depot.has_folder(case_folder(key)):
                return False
            folder = depot.path(case_folder(key))
            if not folder.is_dir():
                here = bring_dataset(self.manifest, self.access, [case.name])
                _compute(here, case, self.plan, folder, self.targets)
            depot.keep_folder(case_folder(key))
            return True


_HERE: list[_Shared] = []
"""Of this process, if it is a worker."""


def _start_worker(shared: _Shared) -> None:
    end_with_parent()
    _HERE.append(shared)


def _provide_here(case: CaseEntry) -> bool:
    return _HERE[0].provide(case)


def _compute(manifest: Manifest, case: CaseEntry, plan: Plan, folder: Path, targets: Targets) -> None:
    preprocessor = Preprocessor(plan.preprocessing)
    volume = manifest.image(case)
    placement = preprocessor.place(volume)
    image = preprocessor.image(volume, placement)
    prepared = targets.prepare(manifest, case, placement, plan)
    with atomic.new_folder(folder) as scratch:
        np.save(scratch / "image.npy", image.astype(np.float16))
        np.save(scratch / "label.npy", prepared.target)
        np.save(scratch / "locations.npy", prepared.locations)
        (scratch / "placement.json").write_text(placement.model_dump_json(), encoding="utf-8")
        seal(scratch)
