"""All checks, one after another."""

from segline.exploration.checks import files, geometry, intensities, labels
from segline.exploration.checks.finding import LEVELS, Finding
from segline.exploration.facts import Facts

_CHECKS = (
    files.refused,
    files.twins,
    geometry.spacing_units,
    intensities.units,
    intensities.flat_images,
    labels.missing_labels,
    labels.cut_labels,
    labels.touching_labels,
    labels.parted_labels,
    labels.outlying_volumes,
    geometry.outlying_sizes,
    geometry.orientations,
    files.remarks,
)


def look(facts: Facts) -> list[Finding]:
    """Everything that looks wrong, the gravest first."""
    findings = [finding for check in _CHECKS for finding in check(facts)]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
