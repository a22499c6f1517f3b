"""Histories as they were first written are read to this day."""

from pathlib import Path

import pytest

from segline.model.history import History, TrainingPoint
from segline.training.shipping.assembly import Member

OLD = """{
  "device": "cpu", "seed": 0, "resumed_from_step": null, "steps": 40, "minutes": 0.5, "kept_steps": [40],
  "best_val_dice": BEST,
  "points": [
    {"network": 0, "step": 20, "epoch": 1.0, "minutes": 0.2, "loss": 1.5, "learning_rate": 0.003,
     "val_dice": null},
    {"network": 0, "step": 40, "epoch": 2.0, "minutes": 0.5, "loss": 0.9, "learning_rate": 0.0,
     "val_dice": {"anterior": 0.6, "posterior": 0.8}}
  ]
}"""


@pytest.mark.parametrize(("best", "score"), [("0.7", 0.7), ("-1.0", None)])
def test_a_history_of_before_is_still_read(best: str, score: float | None, tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text(OLD.replace("BEST", best))
    history = History.read(path)
    assert (history.best_score, history.figure) == (score, "dice")
    assert [point.score for point in history.points] == [None, pytest.approx(0.7)]
    history.write(path)
    assert History.read(path) == history


def test_a_point_of_a_checkpoint_of_before_is_still_read() -> None:
    kept = {"step": 1, "epoch": 0.1, "minutes": 0.0, "loss": 1.0, "learning_rate": 0.1}
    old = TrainingPoint.model_validate({**kept, "val_dice": {"spleen": 0.5}})
    assert TrainingPoint(**old.model_dump()) == old and old.scores == {"spleen": 0.5}


def test_a_member_of_before_is_still_read() -> None:
    values = {"plan_digest": "a", "weights_sha256": "b", "training_minutes": 1.0, "best_val_dice": 0.5}
    assert Member.model_validate(values).best_score == 0.5
