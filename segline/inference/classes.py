"""Classes as answers: which one a volume is of, and how probable each is."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segline.common import atomic
from segline.common.arrays import CPU
from segline.imaging.preprocessing import Preprocessor
from segline.imaging.volume import Volume
from segline.inference.stitching import WindowScorer
from segline.inference.stopwatch import Stopwatch
from segline.inference.wholes import probabilities
from segline.plan import Plan

_DIGITS = 6


@dataclass(frozen=True)
class ClassAnswer:
    """How probable each class is."""

    probabilities: Mapping[str, float]
    """By name, in the network's order; together 1."""

    @property
    def name(self) -> str:
        """The most probable one."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def probability(self) -> float:
        """Of the most probable one."""
        return self.probabilities[self.name]


@dataclass(frozen=True)
class Classes:
    """The answers of classification; see :class:`~segline.inference.answers.Answers`."""

    noun = "class"
    suffixes = (".json", ".csv")
    measure = "probability"
    counts = False
    write_dicom = None

    def words(self, plan: Plan) -> str:
        """The classes."""
        return f"a class of {', '.join(self.labels(plan).values())}, and the probability of each"

    def labels(self, plan: Plan) -> Mapping[int, str]:
        """Index of each class of the network to its name."""
        return {index: plan.labels[value] for index, value in enumerate(plan.label_values)}

    def predictor(
        self, plan: Plan, network: WindowScorer, watch: Stopwatch | None = None
    ) -> Callable[[Volume], ClassAnswer]:
        """From a volume to how probable each class is."""
        watch = watch or Stopwatch()
        preprocessor = Preprocessor(plan.preprocessing, getattr(network, "device", CPU))
        names = list(self.labels(plan).values())

        def predicted(volume: Volume) -> ClassAnswer:
            with watch.lap("preprocess"):
                image = preprocessor.image(volume, preprocessor.place(volume))
            (shares,) = probabilities(network, [image], plan, watch).tolist()
            return ClassAnswer(dict(zip(names, shares, strict=True)))

        return predicted

    def write(self, path: Path, answer: ClassAnswer) -> None:
        """As JSON, or a table of one row."""
        if path.suffix == ".csv":
            self.write_table(path, {"": answer})
        else:
            atomic.write_text(path, json.dumps(_as_told(answer), ensure_ascii=False) + "\n")

    def write_table(self, path: Path, answers: Mapping[str, ClassAnswer]) -> None:
        """Those of several images, by name: a row each as CSV, or an entry each as JSON; atomically."""
        if path.suffix == ".csv":
            atomic.write_text(path, _csv(answers))
            return
        told = {name: _as_told(answer) for name, answer in answers.items()}
        atomic.write_text(path, json.dumps(told, ensure_ascii=False, indent=1) + "\n")

    def measured(self, answer: ClassAnswer) -> float:
        """The probability of the most probable class."""
        return answer.probability

    def told(self, answer: ClassAnswer) -> str:
        """The most probable class."""
        return f"{answer.name}, probability {answer.probability:.4f}"

    def figures(self, plan: Plan, answer: ClassAnswer) -> dict[str, Any]:  # noqa: ARG002
        """The most probable class, and the probability of each."""
        return _as_told(answer)


CLASSES = Classes()


def _as_told(answer: ClassAnswer) -> dict[str, Any]:
    shares = {name: round(share, _DIGITS) for name, share in answer.probabilities.items()}
    return {"class": answer.name, "probabilities": shares}


def _csv(answers: Mapping[str, ClassAnswer]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(next(iter(answers.values())).probabilities)
    writer.writerow(["image", "class", *names])
    for image, answer in answers.items():
        shares = [f"{answer.probabilities[name]:.{_DIGITS}f}" for name in names]
        writer.writerow([image, answer.name, *shares])
    return text.getvalue()
