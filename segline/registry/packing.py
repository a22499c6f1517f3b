"""The package of a version: the model, what it was found to be worth, and the digest of every file."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from segline.common.digests import sha256_of_file
from segline.common.documents import Document
from segline.common.documents.names import BENCHMARK, GATE, MODEL_CARD, PACKING_LIST, PLAN
from segline.common.errors import SeglineError
from segline.model.package import Model

if TYPE_CHECKING:
    from segline.data.pseudonyms import Pseudonyms
    from segline.runs.run import Run

_DOCUMENTS = (GATE, BENCHMARK)


class PackingList(Document):
    """Every file of a package but this one, which a version's tags name by its own digest."""

    kind = "a packing list"
    stage = "register"

    run: str
    plan_digest: str
    dataset_digest: str
    files: dict[str, str]
    """Path in the package to SHA-256."""

    @classmethod
    def of(cls, folder: Path, run: str, model: Model) -> "PackingList":
        """Of the files that lie in ``folder``."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return cls(
            run=run,
            plan_digest=model.plan.digest,
            dataset_digest=model.plan.dataset_digest,
            files={path.relative_to(folder).as_posix(): sha256_of_file(path) for path in paths},
        )


def pack(run: "Run", model: Model, names: "Pseudonyms", folder: Path) -> str:
    """Put the package of a run's model into ``folder``; the digest of its packing list.

    Everything goes along with the cases' pseudonyms.
    """
    shutil.copytree(model.folder, folder, dirs_exist_ok=True)
    model.plan.pseudonymous().write(folder / PLAN)
    for name in _DOCUMENTS:
        _copy_hidden(run.folder / name, folder / name, names)
    for path in run.evaluation_files:
        _copy_hidden(path, folder / "evaluations" / f"{path.parent.name}.json", names)
    card = run.folder / MODEL_CARD
    if card.is_file():
        (folder / MODEL_CARD).write_text(names.hide(card.read_text(encoding="utf-8")), encoding="utf-8")
    PackingList.of(folder, run.info.id, model).write(folder / PACKING_LIST)
    return sha256_of_file(folder / PACKING_LIST)


def require_whole(folder: Path, digest: str, name: str) -> None:
    """Check every file of a package; ``name`` is how errors call it.

    Raises:
        SeglineError: the packing list is not the one of ``digest``, or a file is missing or another.
    """
    listed = folder / PACKING_LIST
    if not listed.is_file() or sha256_of_file(listed) != digest:
        raise SeglineError(f"{name}: {PACKING_LIST} is not the one that was registered; register it again")
    for path, sha256 in PackingList.read(listed).files.items():
        if not (folder / path).is_file():
            raise SeglineError(f"{name}: {path} is missing from the package; pull it again")
        if sha256_of_file(folder / path) != sha256:
            raise SeglineError(f"{name}: {path} is not the file that was registered; pull it again")


def _copy_hidden(source: Path, target: Path, names: "Pseudonyms") -> None:
    if source.is_file():
        target.parent.mkdir(exist_ok=True)
        target.write_text(names.hide_in_json(source.read_text(encoding="utf-8")), encoding="utf-8")
