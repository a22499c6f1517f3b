"""Training patches as the network would see them, each beside itself augmented."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from segline.data.cases.building import preprocess
from segline.data.cases.case import Case
from segline.data.cases.index import CaseIndex
from segline.data.manifest import CaseEntry, Manifest
from segline.exploration.facts import KindParts
from segline.exploration.pictures.slices import FILL, grey_of
from segline.imaging.geometry import Spacing
from segline.imaging.preprocessing import IGNORED
from segline.imaging.volume import Volume
from segline.plan import Plan
from segline.report.html.markup import Html, data_uri, element
from segline.report.pictures.overlays import CaseVolumes, View, webp, with_labels
from segline.report.pictures.wholes import middle_slice
from segline.storage.depot import Depot
from segline.training.batches.augmentation import Augmenter

PATCHES = 8
_SHOWN_PERCENTS = (0.5, 99.5)
_VOLUME_AXES = 4
"""Of a batch of targets that have a place in space: the batch, x, y and z."""


class Patch(NamedTuple):
    """A patch before and after augmentation: images ``(X, Y, Z)``, labels the same or ``None``."""

    case: str
    image: np.ndarray
    label: np.ndarray | None
    changed: np.ndarray
    changed_label: np.ndarray | None


def patches(manifest: Manifest, plan: Plan, cases: Sequence[CaseEntry], parts: KindParts) -> Html:
    """The first patches of a training on ``cases``, by the plan's own sampler, augmenter and seed.

    Raises:
        SeglineError: a case cannot be preprocessed.
    """
    few = manifest.model_copy(update={"cases": tuple(cases)})
    with TemporaryDirectory(prefix="segline-explore-") as folder:
        depot = Depot.here(Path(folder))
        computed = sum(new for _, new in preprocess(few, plan, depot, 1, targets=parts.targets))
        opened = CaseIndex.of(few, plan, depot, computed).open([case.name for case in cases])
        drawn = [_pair(patch, plan.preprocessing.spacing_mm) for patch in _patches(plan, opened, parts)]
    return element("div", *(panel for pair in drawn for panel in pair), class_="panels")


def _patches(plan: Plan, cases: Sequence[Case], parts: KindParts) -> Iterator[Patch]:
    sampler = parts.sampler(plan, cases)
    augment = Augmenter(plan.training.augmentation, plan.seed, plan.preprocessing.spacing_mm)
    batch = plan.training.batch_size
    for step in range(-(-PATCHES // batch)):
        images, targets = sampler.batch(step)
        changed, moved = augment(images.clone(), targets.clone(), step, sampler.first)
        names = [cases[number].name for number in sampler.cases_of(step)]
        for number in range(min(batch, PATCHES - step * batch)):
            yield Patch(
                names[number],
                images[number, 0].numpy(),
                _label(targets, number),
                changed[number, 0].numpy(),
                _label(moved, number),
            )


def _label(targets: Tensor, number: int) -> np.ndarray | None:
    is_map = targets.dim() == _VOLUME_AXES and not targets.is_floating_point()
    return targets[number].to(torch.uint8).numpy() if is_map else None


def _pair(patch: Patch, spacing_mm: Spacing) -> list[Html]:
    """Before and after, with the same grey for the same value."""
    low, high = np.percentile(patch.image, _SHOWN_PERCENTS)
    pictures = ((patch.image, patch.label, "original"), (patch.changed, patch.changed_label, "augmented"))
    return [
        _panel(image, label, (float(low), float(high)), spacing_mm, f"{patch.case}, {title}")
        for image, label, title in pictures
    ]


def _panel(
    image: np.ndarray, label: np.ndarray | None, span: tuple[float, float], spacing_mm: Spacing, title: str
) -> Html:
    """The axial slice on which most is labelled; the middle one where nothing is."""
    if image.shape[2] == 1:
        return element(
            "figure",
            middle_slice(Volume(image[None], np.eye(4)), lambda _: span, title),
            element("figcaption", title),
            class_="panel",
        )
    mask = np.zeros(image.shape, np.uint8) if label is None else np.where(label == IGNORED, 0, label)
    view = View.of(CaseVolumes(image, mask, mask, spacing_mm), "axial", 2)
    whole = view.whole()
    grey = view.sample(grey_of(view.image, span), whole, 1)
    pixels = with_labels(grey, view.sample(view.truth, whole, 0), FILL)
    picture = element("img", src=data_uri(webp(pixels), "image/webp"), alt=title)
    return element("figure", element("div", picture), element("figcaption", title), class_="panel")
