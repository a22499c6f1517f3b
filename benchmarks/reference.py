"""A run's test cases against a reference's published figures, case by case.

    python -m benchmarks.reference RUN REFERENCE.json
    python -m benchmarks.reference --folds REFERENCE.json > folds.yaml

``REFERENCE.json`` has ``folds``, a list of mappings from a case to its Dice of each foreground label, in the
labels' order, and ``source``, whose figures they are. With ``--folds`` its folds are printed as the part of a
task that makes ``FOLDS=`` test the same cases together. ``RUN`` is the folder of a run whose test cases are
among them; printed are both means, the mean paired difference with its 95 % interval, and the cases that
lost most.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from segline.backends import REFERENCE
from segline.common.documents.names import EVALUATION, predictions_of
from segline.evaluation.estimates import paired_difference
from segline.evaluation.records import Evaluation

WORST = 10


def published(path: Path) -> dict[str, float]:
    """The mean Dice over labels of each case."""
    folds = json.loads(path.read_text(encoding="utf-8"))["folds"]
    return {case: float(np.mean(dice)) for fold in folds for case, dice in fold.items()}


def print_folds(path: Path) -> None:
    """As a task names them."""
    folds = json.loads(path.read_text(encoding="utf-8"))["folds"]
    split = {"folds": len(folds), "fold_cases": [sorted(fold) for fold in folds]}
    print(yaml.safe_dump({"plan": {"split": split}}, default_flow_style=None, width=110), end="")


def compare(ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
    """Print the two on their common cases."""
    cases = sorted(ours.keys() & theirs.keys())
    if not cases:
        raise SystemExit("the run and the reference have no case in common")
    difference = paired_difference([ours[case] for case in cases], [theirs[case] for case in cases])
    low, high = difference.ci95 or (float("nan"), float("nan"))
    print(f"{len(cases)} common cases of {len(ours)}")
    print(f"  mean Dice         {np.mean([ours[case] for case in cases]):.4f}")
    print(f"  reference's       {np.mean([theirs[case] for case in cases]):.4f}")
    print(f"  paired difference {difference.mean:+.4f} (95 % interval {low:+.4f} to {high:+.4f})")
    print(f"the {WORST} that lost most: case, ours, reference's")
    for case in sorted(cases, key=lambda case: ours[case] - theirs[case])[:WORST]:
        print(f"  {case}  {ours[case]:.4f}  {theirs[case]:.4f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, or print the folds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("reference", type=Path)
    parser.add_argument("--folds", action="store_true", help="print the reference's folds for a task")
    options = parser.parse_args(arguments)
    if options.folds:
        print_folds(options.reference)
    elif options.run is None:
        parser.error("name the run's folder and the reference's file")
    else:
        evaluation = Evaluation.read(options.run / predictions_of(REFERENCE) / EVALUATION)
        print(options.reference.name, json.loads(options.reference.read_text(encoding="utf-8"))["source"])
        compare({case.case: case.score for case in evaluation.cases}, published(options.reference))


if __name__ == "__main__":
    main()
