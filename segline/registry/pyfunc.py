"""The pyfunc: a registered model as MLflow loads it, from NIfTI files to masks.

Lies in the registered model with the rest of segline, and runs where segline was never installed: with
:func:`requirements` alone, so without MONAI and, since the exported graph is run, without a network's code.
"""

import importlib.metadata
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segline.backends import Backend, open_backend
from segline.common.errors import SeglineError
from segline.imaging.files import read_channels, write_volume
from segline.inference.predictor import Predictor
from segline.model.package import Model

if TYPE_CHECKING:
    import pandas
    from mlflow.models import ModelSignature

DEFAULTS = {"backend": "onnxruntime", "device": "auto"}
_NEEDED = (
    "isal",
    "mlflow-skinny",
    "nibabel",
    "numpy",
    "onnxruntime",
    "pandas",
    "pydantic",
    "scipy",
    "simpleitk",
    "torch",
)
_SUFFIXES = (".nii", ".nii.gz")


class MaskWriter:
    """Reads volumes and writes their masks, each on the grid of its input."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._opened: dict[tuple[str, str], Backend] = {}

    def predict(
        self, model_input: "pandas.DataFrame", params: Mapping[str, Any] | None = None
    ) -> "pandas.DataFrame":
        """Write one mask a row.

        Args:
            model_input: ``image``, a NIfTI file with all channels, a folder with a DICOM series, or a list
                of them, one a channel in the order of the plan; ``mask``, the file to write, ``.nii`` or
                ``.nii.gz``.
            params: ``backend`` and ``device``, as in :data:`DEFAULTS`.

        Returns:
            ``mask`` as given, and ``labelled_voxels``, those that are not background.

        Raises:
            SeglineError: a file cannot be read or written, or the backend cannot run here.
        """
        import pandas

        chosen = {**DEFAULTS, **(params or {})}
        predictor = Predictor(self._model.plan, self._backend(chosen["backend"], chosen["device"]))
        rows = zip(model_input["image"], model_input["mask"], strict=True)
        written = [(mask, _write_mask(predictor, image, Path(mask))) for image, mask in rows]
        return pandas.DataFrame(written, columns=["mask", "labelled_voxels"], index=model_input.index)

    def _backend(self, name: str, device: str) -> Backend:
        if (name, device) not in self._opened:
            self._opened[name, device] = open_backend(name, self._model, device)
        return self._opened[name, device]


def _write_mask(predictor: Predictor, image: str | Iterable[str], mask: Path) -> int:
    if not mask.name.endswith(_SUFFIXES):
        raise SeglineError(f"{mask}: a mask is written as NIfTI; name it .nii or .nii.gz")
    channels = [Path(image)] if isinstance(image, str) else [Path(channel) for channel in image]
    volume = predictor(read_channels(channels))
    write_volume(mask, volume)
    return int((volume.array > 0).sum())


def _load_pyfunc(path: str) -> MaskWriter:
    """What MLflow calls with the folder of the package."""
    return MaskWriter(Model.open(Path(path)))


def requirements() -> list[str]:
    """What inference needs, pinned to what is installed here.

    A local version such as ``+cpu`` is left out: no index has it, and it names a build, not other code.
    """
    versions = {name: importlib.metadata.version(name).split("+")[0] for name in _NEEDED}
    return [f"{name}=={version}" for name, version in versions.items()]


def save_pyfunc(model: Model, folder: Path, model_id: str, run_id: str) -> None:
    """Write a package as an MLflow model, with this library in it and nothing pickled.

    Args:
        model: the package; its whole folder goes along.
        folder: a new one.
        model_id: under which MLflow will know it.
        run_id: MLflow's, of the run that made it.
    """
    import mlflow.pyfunc
    from mlflow.models import Model as MlflowModel

    plan = model.plan
    with tempfile.TemporaryDirectory() as scratch:
        library = Path(scratch, "segline")
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(Path(__file__).parents[1], library, ignore=ignored)
        mlflow.pyfunc.save_model(
            path=str(folder),
            loader_module=__name__,
            data_path=str(model.folder),
            code_paths=[str(library)],
            pip_requirements=requirements(),
            signature=_signature(),
            input_example=_example(plan.channels),
            metadata={"task": plan.task, "channels": list(plan.channels), "labels": plan.foreground},
            mlflow_model=MlflowModel(model_id=model_id, run_id=run_id),
        )


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    columns: list[ColSpec | TensorSpec] = [ColSpec(AnyType(), "image"), ColSpec(DataType.string, "mask")]
    written: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, "mask"),
        ColSpec(DataType.long, "labelled_voxels"),
    ]
    params = [ParamSpec(name, DataType.string, default) for name, default in DEFAULTS.items()]
    return ModelSignature(Schema(columns), Schema(written), ParamSchema(params))


def _example(channels: tuple[str, ...]) -> "pandas.DataFrame":
    import pandas

    images = [f"{channel}.nii.gz" for channel in channels]
    return pandas.DataFrame({"image": [images[0] if len(images) == 1 else images], "mask": ["mask.nii.gz"]})
