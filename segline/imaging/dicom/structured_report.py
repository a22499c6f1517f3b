"""DICOM-SR: the volume of each segment in ml, as a measurement report (TID 1500); by highdicom."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from segline.imaging.dicom.algorithm import MANUFACTURER, Algorithm, uid_of
from segline.imaging.dicom.codes import meaning_of
from segline.imaging.dicom.segmentation import coded, identity
from segline.imaging.dicom.sources import Source, building
from segline.imaging.volume import Volume

if TYPE_CHECKING:
    from highdicom.sr import (
        CodedConcept,
        ObservationContext,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )
    from pydicom import Dataset

_SERIES_NUMBER = 901
_DIGITS = 4
_PROCEDURE = ("363679005", "SCT", "Imaging procedure")
_TITLE = ("126000", "DCM", "Imaging Measurement Report")
_VOLUME = ("118565006", "SCT", "Volume")
_ML = ("mL", "UCUM", "milliliter")


def structured_report(
    mask: Volume, segments: "Dataset", source: Source, labels: Mapping[int, str], algorithm: Algorithm
) -> "Dataset":
    """How large each segment is, in ml.

    Args:
        mask: ``(1, X, Y, Z)`` label values on the grid of ``source``.
        segments: the same as DICOM-SEG, to which the report refers.
        labels: value to name, the background left out; one that is not found has 0 ml.

    Raises:
        SeglineError: no object can refer to the series.
    """
    voxels = np.bincount(mask.array.ravel(), minlength=256)
    with building(source.where):
        from highdicom.sr import Comprehensive3DSR, MeasurementReport

        groups = [
            _group(number, name, float(voxels[value] * mask.grid.voxel_ml), segments, source, algorithm)
            for number, (value, name) in enumerate(labels.items(), 1)
        ]
        report = MeasurementReport(
            observation_context=_observer(algorithm),
            procedure_reported=_concept(*_PROCEDURE),
            imaging_measurements=groups,
            title=_concept(*_TITLE),
        )
        made = Comprehensive3DSR(
            evidence=[*source.images, segments],
            content=report[0],
            series_number=_SERIES_NUMBER,
            is_complete=True,
            **identity(source, algorithm, "REPORT"),
        )
    source.sign(made)
    made.SeriesDescription = algorithm.name
    return made


def _observer(algorithm: Algorithm) -> "ObservationContext":
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObservationContext, ObserverContext
    from pydicom.sr.codedict import codes

    device = DeviceObserverIdentifyingAttributes(
        uid=uid_of([MANUFACTURER, *algorithm.parts.values()]),
        name=algorithm.name,
        manufacturer_name=MANUFACTURER,
        model_name=algorithm.version,
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _group(
    number: int, name: str, volume_ml: float, segments: "Dataset", source: Source, algorithm: Algorithm
) -> "VolumetricROIMeasurementsAndQualitativeEvaluations":
    """What is said of one segment."""
    from highdicom.sr import (
        AlgorithmIdentification,
        FindingSite,
        Measurement,
        ReferencedSegment,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    meaning, tracking = meaning_of(name, algorithm.task), uid_of([segments.SOPInstanceUID, str(number)])
    volume = Measurement(_concept(*_VOLUME), value=round(volume_ml, _DIGITS), unit=_concept(*_ML))
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=tracking, identifier=name),
        referenced_segment=ReferencedSegment(
            sop_class_uid=segments.SOPClassUID,
            sop_instance_uid=segments.SOPInstanceUID,
            segment_number=number,
            source_series=SourceSeriesForSegmentation(source.series["SeriesInstanceUID"]),
        ),
        finding_type=coded(meaning.type),
        finding_category=coded(meaning.category),
        finding_sites=[FindingSite(coded(meaning.region))] if meaning.region else None,
        algorithm_id=AlgorithmIdentification(
            name=algorithm.name,
            version=algorithm.version,
            parameters=[f"{name} {part}" for name, part in algorithm.parts.items()],
            manufacturer=MANUFACTURER,
        ),
        measurements=[volume],
    )


def _concept(value: str, scheme: str, meaning: str) -> "CodedConcept":
    from highdicom.sr import CodedConcept

    return CodedConcept(value, scheme, meaning)
