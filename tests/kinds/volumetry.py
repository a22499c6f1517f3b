"""Volumetry: how many millilitres a label fills, learned from that number; a kind outside the library."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import special
from torch import Tensor

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.data.cases.case import Case
from segline.data.declarations.decathlon import Declaration, Pair
from segline.data.fingerprint import Fingerprint
from segline.data.manifest import CaseEntry, Manifest
from segline.data.targets import Prepared
from segline.evaluation.figures import Figure, declared
from segline.evaluation.records import CaseEvaluation
from segline.evaluation.yardstick import Scored
from segline.imaging.geometry import Grid, as_shape
from segline.imaging.placement import Placement
from segline.imaging.volume import Volume
from segline.inference.predictor import Predictor
from segline.inference.stitching import WindowScorer, predict_leads
from segline.inference.stopwatch import Stopwatch
from segline.model.package import Model
from segline.plan import Agreement, Gate, Plan, Task, merged
from segline.plan.preprocessing.normalisation import OUTSIDE
from segline.planning.plans import make_plan
from segline.report.findings import Findings
from segline.report.html.markup import Html, element, table
from segline.training.batches.patches import cut
from segline.training.objectives.objective import unchanged
from segline.training.ranks import ALONE, Ranks

FIGURES = declared(
    Figure("closeness", "Closeness", "1 less the error's share of the true volume, at least 0", 3, "higher"),
    Figure("error_ml", "Error", "found less true volume", 1, "zero", unit="ml"),
)
EQUAL = 0.01
"""Share by which two volumes may differ and be one."""


def closeness(found: float, truth: float) -> float:
    return max(0.0, 1 - abs(found - truth) / truth)


def voxel_ml(plan: Plan) -> float:
    return float(np.prod(plan.preprocessing.spacing_mm)) / 1000


class Targets:
    def examine(self, root: Path, pair: Pair, declaration: Declaration, grid: Grid) -> dict[int, int]:  # noqa: ARG002
        if isinstance(pair.label, str) or pair.label <= 0:
            raise SeglineError(f"{pair.name}: its label is {pair.label}; give millilitres, more than 0")
        return {}

    def prepare(self, manifest: Manifest, case: CaseEntry, placement: Placement, plan: Plan) -> Prepared:  # noqa: ARG002
        return Prepared(np.array(case.value, np.float32), np.zeros((0, 4), np.int32))


@dataclass(frozen=True)
class WholeVolumes:
    """Whole volumes amid the patch; targets ``(B, 7)``: the voxels to be filled, and from where to where."""

    plan: Plan
    cases: Sequence[Case]
    batch_size: int
    first: int
    count: int

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.cases) // self.batch_size)

    def cases_of(self, step: int) -> Sequence[int]:
        return [
            draw % len(self.cases) for draw in range(step * self.batch_size, (step + 1) * self.batch_size)
        ]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        cases = [self.cases[number] for number in self.cases_of(step)[self.first : self.first + self.count]]
        patches = [self._patch(case) for case in cases]
        images = np.stack([image for image, _ in patches]).astype("float32")
        return torch.from_numpy(images), torch.tensor([target for _, target in patches])

    def _patch(self, case: Case) -> tuple[np.ndarray, list[float]]:
        patch = self.plan.training.patch_size
        before = [(size - n) // 2 for size, n in zip(patch, case.shape, strict=True)]
        after = [first + n for first, n in zip(before, case.shape, strict=True)]
        start = as_shape(-first for first in before)
        image = np.stack([cut(channel, start, patch, OUTSIDE) for channel in case.image])
        return image, [float(case.label) / voxel_ml(self.plan), *before, *after]


class Objective:
    figure = "closeness"

    def names(self, plan: Plan) -> Sequence[str]:
        return list(plan.foreground.values())

    def details(self, plan: Plan) -> Sequence[str]:  # noqa: ARG002
        return ()

    def sampler(
        self, plan: Plan, cases: Sequence[Case], batch_size: int | None = None, part: tuple[int, int] = (0, 1)
    ) -> WholeVolumes:
        size = batch_size or plan.training.batch_size
        return WholeVolumes(plan, cases, size, part[0] * size // part[1], size // part[1])

    def loss(
        self,
        plan: Plan,  # noqa: ARG002
        scores: Tensor,
        target: Tensor,
        add_up: Callable[[Tensor], Tensor] = unchanged,  # noqa: ARG002
    ) -> Tensor:
        boxes = target[:, 1:].int().tolist()
        inside = [one[:, a:d, b:e, c:f] for one, (a, b, c, d, e, f) in zip(scores, boxes, strict=True)]
        found = torch.cat([_voxels(one[None]) for one in inside])
        return (found / target[:, 0] - 1).square().mean()

    def validate(
        self,
        network: WindowScorer,
        plan: Plan,
        cases: Sequence[Case],
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> Tensor:
        found = torch.zeros(len(cases), 1, dtype=torch.float64)
        for number in ranks.share(range(len(cases))):
            image = torch.from_numpy(cases[number].image.astype("float32")).to(device)
            voxels = float(predict_leads(network, image, plan).sigmoid().sum())
            found[number] = closeness(voxels * voxel_ml(plan), float(cases[number].label))
        return ranks.add_up(found)

    def finished(self, _: WindowScorer, plan: Plan, *rest: Any) -> Plan:  # noqa: ARG002
        return plan

    def agreement(self, a: Tensor, b: Tensor) -> tuple[int, int]:
        return int(((_voxels(a) - _voxels(b)).abs() <= EQUAL * _voxels(a)).sum()), len(a)


def _voxels(scores: Tensor) -> Tensor:
    return scores.softmax(1)[:, 1].sum((1, 2, 3))


class Answers:
    noun, suffixes, measure, counts = "volume", (".json",), "ml", False
    write_table = None
    write_dicom = None

    def words(self, plan: Plan) -> str:
        return f"the volume of {', '.join(plan.foreground.values())} in ml"

    def labels(self, plan: Plan) -> Mapping[int, str]:
        return plan.foreground

    def predictor(
        self, plan: Plan, network: WindowScorer, watch: Stopwatch | None = None
    ) -> Callable[[Volume], float]:
        leads = Predictor(plan, network, watch).leads
        return lambda volume: float(special.expit(leads(volume).values).sum()) * voxel_ml(plan)

    def write(self, path: Path, answer: float) -> None:
        atomic.write_text(path, json.dumps({"ml": answer}) + "\n")

    def measured(self, answer: float) -> float:
        return answer

    def told(self, answer: float) -> str:
        return f"{answer:.1f} ml"

    def figures(self, plan: Plan, answer: float) -> dict[str, Any]:  # noqa: ARG002
        return {"ml": answer}


class Yardstick:
    figures, part, answers = FIGURES, "volume", Answers()
    how = "against the volumes that the data set tells"

    def conditions(self, plan: Plan) -> dict[str, float]:  # noqa: ARG002
        return {}

    def names(self, plan: Plan) -> Sequence[str]:
        return list(plan.foreground.values())

    def predictor(self, plan: Plan, network: WindowScorer) -> Callable[[Volume], float]:
        return self.answers.predictor(plan, network)

    def score(self, plan: Plan, manifest: Manifest, case: str, predicted: float, folder: Path) -> Scored:
        truth = manifest.case(case).value or 0.0
        self.answers.write(folder / f"{case}.json", predicted)
        figures = {"closeness": closeness(predicted, truth), "error_ml": predicted - truth}
        (name,) = self.names(plan)
        return Scored(CaseEvaluation(case=case, figures={name: figures}, answer=f"{case}.json"))

    def total(self, counted: Sequence[Any]) -> Mapping[str, Any]:  # noqa: ARG002
        return {}

    def agreement(self, a: Path, b: Path) -> float:
        first, second = (json.loads(path.read_text())["ml"] for path in (a, b))
        return float(abs(first - second) <= EQUAL * first)


def pictures(findings: Findings) -> Html | None:
    evaluation = findings.reference
    if evaluation is None:
        return None
    rows = [(case.case, f"{case.score:.3f}") for case in evaluation.cases]
    return element("section", element("h2", "How near"), table(("Case", "Closeness"), rows), id="pictures")


class Volumetry:
    targets, objective, answers, yardstick = Targets(), Objective(), Answers(), Yardstick()
    viewer = None

    @property
    def pictures(self) -> Callable[[Findings], Html | None]:
        return pictures

    def propose(self, manifest: Manifest, fingerprint: Fingerprint, task: Task) -> Plan:
        """Nothing that changes a volume is a good augmentation of it."""
        plan = merged({"training": {"augmentation": {"affine": 0.0}}}, task.plan)
        near = Agreement(differences={"closeness": 0.01}, agreement=1.0)
        gate = Gate(float32=near, reduced=near)
        return make_plan(manifest, fingerprint, task.model_copy(update={"plan": plan}), gate)

    def bundle(self, model: Model, folder: Path) -> None:  # noqa: ARG002
        raise SeglineError(f"{model.folder}: no bundle of a volumetry is written")


KIND = Volumetry()
