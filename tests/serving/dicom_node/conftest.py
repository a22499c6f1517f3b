"""What the tests of the node share."""

from pathlib import Path

import numpy as np
import pytest

from segline.backends import open_backend
from segline.data.manifest import Manifest
from segline.imaging.dicom.series import read_series
from segline.inference.predictor import Predictor
from segline.model.package import Model

from ...imaging.dicom.written import write_phantom_series

pytest.importorskip("pynetdicom", reason="not installed; pip install 'segline[dicom]'")
pytest.importorskip("highdicom", reason="not installed; pip install 'segline[dicom]'")

OF_PATIENT = {"PatientName": "Doe^Jane", "PatientID": "4711"}


@pytest.fixture(scope="session")
def series(phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of a phantom's CT as slices of a patient."""
    folder = tmp_path_factory.mktemp("ct") / "series"
    return write_phantom_series(folder, phantoms.image(phantoms.cases[0]), slice(16, 32), **OF_PATIENT)


@pytest.fixture(scope="session")
def slices(series: Path) -> list[Path]:
    return sorted(series.iterdir())


@pytest.fixture(scope="session")
def mask(tiny_model: Model, series: Path) -> np.ndarray:
    """``(X, Y, Z)``, what the model says of it."""
    predict = Predictor(tiny_model.plan, open_backend("onnxruntime", tiny_model, "cpu"))
    array = predict(read_series(series)).array[0]
    assert array.any()
    return array
