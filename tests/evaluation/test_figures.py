from segline.evaluation.figures import SEGMENTATION, figures_among
from segline.evaluation.masks.label_metrics import LabelMetrics


def test_everything_measured_of_a_label_is_a_figure_but_its_volumes() -> None:
    assert figures_among(LabelMetrics.model_fields) == SEGMENTATION
    assert set(LabelMetrics.model_fields) - {figure.name for figure in SEGMENTATION} == {
        "truth_ml",
        "prediction_ml",
    }


def test_a_heading_has_the_unit() -> None:
    assert [figure.heading for figure in SEGMENTATION[:3]] == ["Dice", "NSD", "HD95 (mm)"]


def test_only_a_distance_that_one_label_lacks_is_missing_for_the_case() -> None:
    assert [figure.name for figure in SEGMENTATION if figure.whole] == ["hd95_mm"]
