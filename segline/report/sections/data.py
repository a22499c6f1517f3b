"""The data set, its split, and the plan made for it."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segline.common.wording import counted
from segline.data.manifest import CaseEntry, Manifest
from segline.imaging.geometry import Reorientation
from segline.plan import Augmentation, Plan, Split
from segline.report.html.markup import (
    Content,
    Html,
    cell,
    details,
    element,
    heading,
    number,
    preformatted,
    table,
)
from segline.report.html.wording import (
    MOST_ROWS,
    dash,
    decimal,
    percent,
    short_digest,
    small_share,
    times,
)

_MOST_REMARKS = 50
AXES = ("right–left", "posterior–anterior", "inferior–superior")


def dataset(manifest: Manifest) -> Html:
    """Which data: what it is, what is labelled in it, and its geometry."""
    orientations = Counter(case.orientation for case in manifest.cases)
    facts: list[tuple[str, Content]] = [
        ("Name", manifest.name),
        ("Labelled cases", str(len(manifest.cases))),
        ("Channels", ", ".join(manifest.modalities)),
        ("Licence", manifest.licence),
        ("Orientations", ", ".join(f"{code} {count}" for code, count in orientations.most_common())),
        ("Digest", short_digest(manifest.digest)),
    ]
    return element(
        "section",
        element("h2", "Data set"),
        fact_list(facts),
        _remarks(manifest.remarks),
        *_targets(manifest),
        element("h3", "Geometry"),
        geometry(manifest.cases),
        id="data-set",
    )


def split(parts: Split, asked: Mapping[str, Any]) -> Html:
    """Which case serves for what; ``asked`` is how the task wants it."""
    sets = {"train": parts.train, "val": parts.val, "test": parts.test}
    total = sum(map(len, sets.values()))
    bar = [
        element("span", f"{name} {len(names)}", class_=name, style=f"flex-grow:{len(names) / total:.4f}")
        for name, names in sets.items()
    ]
    listed = [(element("strong", name), cell(_listed(names), class_="words")) for name, names in sets.items()]
    return element(
        "section",
        element("h2", "Split"),
        element(
            "p",
            "Training cases find the weights, validation cases choose among them, and test cases, which "
            "neither has seen, give the figures of this report.",
            _which_fold(asked),
        ),
        element("div", *bar, class_="split-bar"),
        details("Names of the cases", table(("Set", "Cases"), listed)),
        id="split",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_ROWS} more, in plan.json" if len(names) > MOST_ROWS else ""
    return ", ".join(names[:MOST_ROWS]) + more


def _which_fold(asked: Mapping[str, Any]) -> str | None:
    if not asked.get("folds") or "fold" not in asked:
        return None
    return f" This is fold {asked['fold']} of {asked['folds']}; folds count from 0."


def plan(proposed: Plan, overrides: dict[str, Any]) -> Html:
    """The parts that decide most, in words; the whole plan folded away. ``overrides`` is the task's share."""
    rows = [(element("strong", name), cell(value, class_="words")) for name, value in plan_in_words(proposed)]
    by_task = preformatted(json.dumps(overrides, indent=2, ensure_ascii=False))
    whole = preformatted(
        json.dumps({"digest": proposed.digest, **proposed.model_dump(mode="json")}, indent=2)
    )
    return element(
        "section",
        element("h2", "Plan"),
        element(
            "p",
            "The contract between training and every later prediction; digest ",
            short_digest(proposed.digest),
        ),
        table((), rows, "facts-table"),
        details("What the task set; the rest was proposed from the data", by_task) if overrides else None,
        details("The whole plan", whole),
        id="plan",
    )


def fact_list(facts: Sequence[tuple[str, Content]]) -> Html:
    """Names with their values, in columns."""
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in facts]
    return element("dl", *pairs, class_="fact-list")


def _remarks(remarks: Sequence[str]) -> Html | None:
    if not remarks:
        return None
    listed = table((), [(cell(remark, class_="words"),) for remark in remarks[:_MOST_REMARKS]], "facts-table")
    more = f"; the first {_MOST_REMARKS}" if len(remarks) > _MOST_REMARKS else ""
    return details(f"What is odd about the files ({len(remarks)}{more})", listed)


def _targets(manifest: Manifest) -> tuple[Html, Html]:
    values = [case.value for case in manifest.cases if case.value is not None]
    if not values:
        return element("h3", "Labels"), labels(manifest)
    if {*values} <= manifest.labels.keys():
        return element("h3", "Classes"), classes(manifest)
    facts: list[tuple[str, Content]] = [
        ("Cases with one", f"{len(values)} of {len(manifest.cases)}"),
        ("Median", f"{np.median(values):g}"),
        ("Range", f"{min(values):g}–{max(values):g}"),
    ]
    return element("h3", "Values"), fact_list(facts)


def classes(manifest: Manifest) -> Html:
    """How many cases are of each class."""
    names, counts = manifest.labels, Counter(case.value for case in manifest.cases)
    total = sum(counts.values())
    rows = [
        (
            number(str(value)),
            element("strong", name),
            number(str(counts.get(value, 0))),
            number(percent(counts.get(value, 0) / total)),
        )
        for value, name in names.items()
    ]
    head = (heading("Value", numeric=True), "Class", *(heading(c, numeric=True) for c in ("Cases", "Share")))
    return table(head, rows)


def labels(manifest: Manifest) -> Html:
    """Share of the voxels and volume of each label."""
    total = sum(sum(case.label_voxels.values()) for case in manifest.cases)
    rows = [_label_row(manifest, value, name, total) for value, name in manifest.labels.items()]
    columns = ("Share of all voxels", "In cases", "Median volume (ml)", "Range (ml)")
    head = (heading("Value", numeric=True), "Label", *(heading(c, numeric=True) for c in columns))
    return table(head, rows)


def _label_row(manifest: Manifest, value: int, name: str, total: int) -> tuple[Content, ...]:
    labelled = [case for case in manifest.cases if case.label_voxels.get(value, 0)]
    voxels = sum(case.label_voxels[value] for case in labelled)
    volumes = [case.label_voxels[value] * float(np.prod(case.spacing_mm)) / 1000 for case in labelled]
    if volumes:
        middle, extent = decimal(float(np.median(volumes)), 1), f"{min(volumes):.1f}–{max(volumes):.1f}"
    else:
        middle = extent = dash("no case has this label")
    figures = (small_share(voxels / total), f"{len(labelled)} of {len(manifest.cases)}", middle, extent)
    return (number(str(value)), element("strong", name), *(number(figure) for figure in figures))


def geometry(cases: Sequence[CaseEntry]) -> Html:
    """Voxels, spacing and extent along the patient's axes, whatever the files' own order."""
    orders = [list(Reorientation.between(case.orientation, "RAS").axes) for case in cases]
    voxels = np.array([np.array(case.shape)[order] for case, order in zip(cases, orders, strict=True)])
    spacing = np.array([np.array(case.spacing_mm)[order] for case, order in zip(cases, orders, strict=True)])
    rows = [
        (
            element("strong", axis),
            *_range(voxels[:, i], 0),
            *_range(spacing[:, i], 2),
            *_range(voxels[:, i] * spacing[:, i], 0),
        )
        for i, axis in enumerate(AXES)
    ]
    head = [
        heading(f"{name}", numeric=True)
        for what in ("Voxels", "Spacing (mm)", "Extent (mm)")
        for name in (f"{what}, median", "range")
    ]
    return table(("Axis of the patient", *head), rows)


def _range(values: np.ndarray, digits: int) -> tuple[Html, Html]:
    low, middle, high = (decimal(float(v), digits) for v in (values.min(), np.median(values), values.max()))
    return number(middle), number(low if low == high else f"{low}–{high}")


def plan_in_words(plan: Plan) -> list[tuple[str, str]]:
    """What is decided, by what it is called on the page."""
    training, network, inference = plan.training, plan.network, plan.inference
    rates = (
        f"learning rate {training.learning_rate:g} on {training.schedule.words}, "
        f"weight decay {training.weight_decay:g}"
    )
    minutes = training.max_minutes and (round(training.max_minutes, 2) or training.max_minutes)
    budget = f", or {minutes:g} min if that is sooner" if minutes else ""
    several = f"; the mean of {plan.ensemble.count}" if plan.ensemble.count > 1 else ""
    return [
        ("Labels", ", ".join(f"{value} {name}" for value, name in plan.labels.items())),
        ("Grid", f"{plan.preprocessing.orientation}, {times(plan.preprocessing.spacing_mm)} mm"),
        ("Intensity", "; ".join(plan.preprocessing.rules_in_words(plan.channels))),
        ("Crop", _crop(plan)),
        ("Network", f"{network.words}{several}"),
        ("Patch", f"{times(training.patch_size)} voxels, {training.batch_size} in a batch{_sampling(plan)}"),
        ("Schedule", f"{counted(training.epochs, 'epoch')}{budget}; {rates}"),
        ("Weights", f"average over steps, decay {training.ema_decay:g} (0 would be none)"),
        ("Augmentation", _augmentation(training.augmentation)),
        (
            "Inference",
            f"windows of {times(inference.smallest_window)} to {times(inference.largest_window)} voxels, "
            f"overlap {times(inference.overlap)} voxels, {inference.blending} blending"
            if network.answers == "voxels"
            else f"one window of {times(inference.largest_window)} voxels around the middle",
        ),
        ("Post-processing", plan.postprocessing or "none"),
        ("Seed", str(plan.seed)),
    ]


def _sampling(plan: Plan) -> str:
    training = plan.training
    if plan.network.answers == "classes":
        return ""
    in_turn = f", {training.samples_per_volume} of a case in turn" if training.samples_per_volume > 1 else ""
    padded = {"constant": "", "reflect": "; small volumes are mirrored", "edge": "; their edges are repeated"}
    return f"{in_turn}; {training.sampler.words}{padded[training.padding]}"


def _crop(plan: Plan) -> str:
    above, margin = plan.preprocessing.foreground_above, plan.preprocessing.margin_mm
    if above is None:
        return "none"
    return f"to the box of voxels above {decimal(above, 0)}, plus {margin:g} mm"


def _augmentation(changes: Augmentation) -> str:
    probabilities = {
        "flips": changes.flip,
        f"rotation to {changes.rotation_degrees:g}° and zoom": changes.affine,
        "noise": changes.noise,
        "blur": changes.blur,
        "brightness and contrast": changes.intensity,
        "gamma": changes.gamma,
        "bias field": changes.bias_field,
    }
    used = [f"{name} {percent(p, 0)}" for name, p in probabilities.items() if p]
    return ", ".join(used) if used else "none"
