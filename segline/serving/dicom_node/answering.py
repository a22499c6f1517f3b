"""Answering: from the images of a series to the objects that are sent back."""

from pathlib import Path

from segline.common.errors import SeglineError
from segline.imaging.dicom.series import read_series
from segline.imaging.dicom.sources import Source
from segline.serving.dicom_node.node import Answerer
from segline.serving.models.served import Served


def answerer(served: Served, with_report: bool) -> Answerer:
    """What answers a series: a DICOM-SEG, and a DICOM-SR if ``with_report``.

    Raises:
        SeglineError: the model needs more than one series, answers with no mask, or its backend cannot run.
    """
    plan, write_dicom = served.plan, served.answers.write_dicom
    if write_dicom is None:
        raise SeglineError(f"{plan.task}: a model for {plan.kind} answers not in DICOM; use segline predict")
    if len(plan.channels) > 1:
        raise SeglineError(
            f"{plan.task}: needs {len(plan.channels)} series of a patient ({', '.join(plan.channels)}), and "
            "what arrives is one; use segline predict"
        )
    predictor, algorithm = served.predictor(), served.algorithm

    def answer(images: Path, folder: Path) -> None:
        source = Source.at(images)
        volume = read_series(images)
        volume.require_finite(str(images))
        report = folder / "report.dcm" if with_report else None
        write_dicom(folder / "segmentation.dcm", predictor(volume), source, plan, algorithm, report)

    return answer
