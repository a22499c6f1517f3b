"""How the cases lie in space, and how large they are on the plan's grid."""

from collections import Counter

import numpy as np

from segline.exploration.facts import Facts
from segline.exploration.pictures.charts import Strip, strips
from segline.plan import Plan
from segline.planning.sizes import Sizes
from segline.report.html.markup import Content, Html, chart, element
from segline.report.html.wording import times
from segline.report.sections.data import AXES, fact_list, geometry

_MOST_ORIENTATIONS = 8


def geometry_section(facts: Facts) -> Html:
    """Voxels, spacing, orientation and field of view, as a table and as dots."""
    return element(
        "section",
        element("h2", "Geometry"),
        geometry(facts.cases),
        chart(lambda: _strips(facts), "A dot a case, along the patient's axes; the stroke is the median."),
        element("h3", "Orientation, and size on the plan's grid"),
        fact_list([*_orientations(facts), *_on_the_plans_grid(facts)]),
        id="geometry",
    )


def _strips(facts: Facts) -> Html:
    spacing = np.array([spacing for spacing, _ in facts.geometry.values()])
    voxels = np.array([shape for _, shape in facts.geometry.values()])
    panels = (("voxels", voxels), ("spacing (mm)", spacing), ("field of view (mm)", voxels * spacing))
    return strips(
        [
            (name, [Strip(axis, values[:, i].tolist()) for i, axis in enumerate(AXES)])
            for name, values in panels
        ],
        "Voxels, spacing and field of view of every case",
    )


def _orientations(facts: Facts) -> list[tuple[str, Content]]:
    counts = Counter(case.orientation for case in facts.cases).most_common()
    told = ", ".join(f"{code} {count}" for code, count in counts[:_MOST_ORIENTATIONS])
    more = f" and {len(counts) - _MOST_ORIENTATIONS} more" if len(counts) > _MOST_ORIENTATIONS else ""
    return [("Axes of the files run towards", f"{told}{more}")]


def _on_the_plans_grid(facts: Facts) -> list[tuple[str, Content]]:
    if not isinstance(facts.plan, Plan):
        return [("On the plan's grid", "no plan can be proposed, see below")]
    known = (each for name, each in facts.geometry.items() if name not in facts.misscaled)
    sizes = Sizes.on_grid(facts.plan, known)
    return [
        ("Target spacing", f"{times(facts.plan.preprocessing.spacing_mm)} mm"),
        ("Least along each axis", f"{times(sizes.least)} voxels"),
        ("Median along each axis", f"{times(sizes.median)} voxels"),
        ("Most along each axis", f"{times(sizes.most)} voxels"),
        ("Patch", f"{times(facts.plan.training.patch_size)} voxels"),
        ("Network's stride, which divides it", times(facts.plan.network.total_stride)),
    ]
