"""What each file of a run's folder is called; those that a lower room writes have their names from there."""

from segline.acceptance import members, verdict
from segline.data import intake
from segline.evaluation import folds, records
from segline.model import package
from segline.training.tuning import record

RUN = "run.json"
"""What was asked for."""
STAGES = "stages"
"""Folder of what became of each stage."""
STAGE_RECORDS = f"{STAGES}/[!.]*.json"
"""Pattern of the records in it."""
MANIFEST = "manifest.json"
"""The data set."""
QUARANTINE = intake.QUARANTINE
"""The new cases that a retraining set aside, and why."""
PLAN = package.PLAN
"""The frozen contract between training and inference; in ``MODEL`` too."""
CASES = "cases.json"
"""Where the preprocessed cases lie."""
TUNING = record.TUNING
"""What a probe chose, where the plan asked for one."""
MODEL = "model"
"""Folder of the model package."""
HISTORY = f"{MODEL}/{package.HISTORY}"
"""The training, in the package."""
PREDICTIONS = "predictions"
"""Folder of each backend's answers, in a folder of its name."""
EVALUATION = records.EVALUATION
"""What the answers of a backend are worth, beside them."""
ABSENT = verdict.ABSENT
"""In place of it, why there are none."""
EVALUATIONS = f"{PREDICTIONS}/[!.]*/{EVALUATION}"
"""Pattern of all evaluations."""
GATE = "gate.json"
"""The verdict."""
BENCHMARK = "benchmark.json"
"""How fast each backend is."""
FOLDS = folds.FOLDS
"""Folder of the folds' runs, by number."""
POOLED = folds.POOLED
"""Folder of their evaluations in one, where the run has a model of its own."""
CROSS_VALIDATION = folds.CROSS_VALIDATION
"""The folds' test cases together."""
COMPARISON = members.COMPARISON
"""The ensemble of the folds beside each of its members."""
MODEL_CARD = "model_card.md"
"""What the model is for, and what it is worth."""
PROMOTION = "promotion.json"
"""How the model did against the champion on the same cases."""
SUMMARY = "summary.json"
"""What became of the run, for machines."""
BRIEF = "summary.md"
"""The same in short, for the page of a pipeline's run."""
REPORT = "report.html"
"""The same for people."""
VIEWER = "viewer.html"
"""The best, the median and the worst test case in all their slices."""
LOG = "run.log"
"""All output of all stages, where they ran on one machine."""


def stage_record(stage: str) -> str:
    """The record of one stage."""
    return f"{STAGES}/{stage}.json"


def predictions_of(backend: str) -> str:
    """Folder of the answers of one backend."""
    return f"{PREDICTIONS}/{backend}"
