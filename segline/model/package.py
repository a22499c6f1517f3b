"""The model package: a folder with everything inference needs, whose parts name the plan they belong to."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from segline.common import atomic
from segline.common.digests import sha256_of_file
from segline.common.documents.names import HISTORY, PLAN
from segline.common.errors import SeglineError, UnavailableError
from segline.model.graphs import require_plain
from segline.model.history import History
from segline.model.sidecars import Float16Graph, OnnxSidecar, require_unchanged
from segline.plan import Plan, require_affordable

if TYPE_CHECKING:
    from torch import Tensor

    from segline.inference.familiarity.domains import Domain

WEIGHTS = "weights.pt"
DOMAIN = "domain.json"
ONNX = "model.onnx"
ONNX_FLOAT16 = "model.fp16.onnx"
ONNX_SIDECAR = "model.onnx.json"


@dataclass(frozen=True)
class Model:
    """An opened model package.

    Attributes:
        folder: holds ``plan.json``, ``weights.pt`` and, once exported, ``model.onnx`` with its sidecar and,
            where the network can compute in float16, ``model.fp16.onnx``.
    """

    folder: Path
    plan: Plan

    @classmethod
    def open(cls, folder: Path) -> "Model":
        """Read a package.

        Raises:
            SeglineError: a part is missing or lies elsewhere, the plan was edited, or nobody could afford its
                windows.
        """
        for part in (PLAN, WEIGHTS):
            if not (folder / part).is_file():
                raise SeglineError(f"{folder}: not a model package, {part} is missing")
        _require_own_files(folder)
        plan = Plan.read(folder / PLAN)
        require_affordable(plan, str(folder / PLAN))
        return cls(folder, plan)

    @classmethod
    def write(
        cls,
        folder: Path,
        plan: Plan,
        weights: "dict[str, Tensor]",
        history: History | None,
        domain: "Domain | None" = None,
    ) -> "Model":
        """Write a new package, replacing what lies at ``folder``; it appears whole or not at all.

        ``history`` is of the training; ``None`` where there was more than one. ``domain`` is what it learned
        from, where that is known.
        """
        from segline.model.domain import LearnedDomain
        from segline.networks.weights import save_weights

        with _replaced(folder) as scratch:
            plan.write(scratch / PLAN)
            save_weights(scratch / WEIGHTS, weights, plan)
            if history:
                history.write(scratch / HISTORY)
            if domain:
                LearnedDomain(plan_digest=plan.digest, domain=domain).write(scratch / DOMAIN)
        return cls(folder, plan)

    def require_plan(self, plan: Plan, name: Path) -> None:
        """Refuse a plan that is not the package's own.

        Raises:
            SeglineError: the digests differ; ``name`` says where ``plan`` was read.
        """
        if plan.digest != self.plan.digest:
            raise SeglineError(
                f"{name}: plan {plan.digest[:12]} is not the one {self.folder} was trained under "
                f"({self.plan.digest[:12]}); leave --plan out to use the package's own"
            )

    def copied_to(self, folder: Path) -> "Model":
        """A copy of the package, to add to, in place of what lies there; itself if that is where it lies."""
        if folder.resolve() == self.folder.resolve():
            return self
        with _replaced(folder) as scratch:
            shutil.copytree(self.folder, scratch, dirs_exist_ok=True)
        return Model(folder, self.plan)

    @property
    def weights(self) -> Path:
        """State dict with the digest of its plan."""
        return self.folder / WEIGHTS

    @property
    def history(self) -> Path:
        """What the training did."""
        return self.folder / HISTORY

    @property
    def domain(self) -> "Domain | None":
        """What the model learned from, read anew each time; ``None`` in a package that does not say so.

        Raises:
            SeglineError: the record is damaged, or another model's.
        """
        path = self.folder / DOMAIN
        if not path.is_file():
            return None
        from segline.model.domain import LearnedDomain

        learned = LearnedDomain.read(path)
        if learned.plan_digest != self.plan.digest:
            raise SeglineError(
                f"{path}: of plan {learned.plan_digest[:12]}, but the package's plan is "
                f"{self.plan.digest[:12]}; remove it, or take the package's own"
            )
        return learned.domain

    @property
    def onnx(self) -> Path:
        """The exported graph; :meth:`sidecar` checks it."""
        return self.folder / ONNX

    def sidecar(self) -> OnnxSidecar:
        """The exported graph's sidecar, after checking that graph, sidecar, weights and plan belong together.

        Raises:
            SeglineError: nothing was exported, a part is of another model, or the graph is not plain.
        """
        path = self.folder / ONNX_SIDECAR
        if not self.onnx.is_file() or not path.is_file():
            raise SeglineError(f"{self.folder}: no {ONNX} with {ONNX_SIDECAR}; run export_onnx first")
        sidecar = OnnxSidecar.read(path)
        if sidecar.plan_digest != self.plan.digest:
            raise SeglineError(
                f"{self.onnx}: exported under plan {sidecar.plan_digest[:12]}, but the package's plan is "
                f"{self.plan.digest[:12]}; run export_onnx again"
            )
        require_unchanged(self.onnx, sidecar.onnx_sha256, "export_onnx")
        require_plain(self.onnx)
        if sidecar.weights_sha256 != sha256_of_file(self.weights):
            raise SeglineError(
                f"{self.onnx}: exported from other weights than {WEIGHTS}; run export_onnx again"
            )
        return sidecar

    @property
    def onnx_float16(self) -> Path:
        """The exported graph that computes in float16; :meth:`float16` checks it."""
        return self.folder / ONNX_FLOAT16

    def float16(self) -> Float16Graph:
        """What is known of the float16 graph, after checking that it belongs to the package.

        Raises:
            UnavailableError: the network has none, with the reason.
            SeglineError: nothing was exported, a part is of another model, or the graph is not plain.
        """
        sidecar = self.sidecar()
        if sidecar.float16 is None:
            why = sidecar.no_float16 or "run export_onnx again"
            raise UnavailableError(f"{self.folder}: no {ONNX_FLOAT16}: {why}")
        require_unchanged(self.onnx_float16, sidecar.float16.onnx_sha256, "export_onnx")
        require_plain(self.onnx_float16)
        return sidecar.float16

    def write_sidecar(self, sidecar: OnnxSidecar) -> None:
        """Write the sidecar beside the graph, atomically."""
        sidecar.write(self.folder / ONNX_SIDECAR)

    def digests(self) -> dict[str, str]:
        """SHA-256 of every file of the package, and the digests of the plan and its data set."""
        parts = sorted(path for path in self.folder.rglob("*") if path.is_file())
        files = {path.relative_to(self.folder).as_posix(): sha256_of_file(path) for path in parts}
        return {"plan": self.plan.digest, "dataset": self.plan.dataset_digest, **files}


def _require_own_files(folder: Path) -> None:
    """Refuse a package with a link to what is not of it: a copy would take the file along, wherever it is."""
    inside = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise SeglineError(f"{path}: a link out of the package; put the file itself there")


@contextmanager
def _replaced(folder: Path) -> Iterator[Path]:
    """A scratch folder that takes the place of ``folder`` once it is whole."""
    with atomic.new_folder(folder) as scratch:
        yield scratch
        if folder.is_dir():
            shutil.rmtree(folder)
