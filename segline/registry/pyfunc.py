"""The pyfunc as it is registered: a package with the library that answers by it."""

import importlib.metadata
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from segline.inference.answers import Answers
from segline.model.package import Model

if TYPE_CHECKING:
    import pandas
    from mlflow.models import ModelSignature

DEFAULTS = {"backend": "onnxruntime", "device": "auto"}
_NEEDED = (
    "connected-components-3d",
    "isal",
    "mlflow-skinny",
    "nibabel",
    "numpy",
    "onnxruntime",
    "pandas",
    "pillow",
    "pydantic",
    "pydicom",
    "python-gdcm",
    "simpleitk",
)
_LOADER = "segline.serving.pyfunc"
"""The module that answers, of the library that goes along."""


def requirements() -> list[str]:
    """What inference needs, pinned to what is installed here.

    A local version such as ``+cpu`` is left out: no index has it, and it names a build, not other code.
    """
    versions = {name: importlib.metadata.version(name).split("+")[0] for name in _NEEDED}
    return [f"{name}=={version}" for name, version in versions.items()]


def save_pyfunc(model: Model, answers: Answers, folder: Path, model_id: str, run_id: str) -> None:
    """Write a package as an MLflow model, with this library in it and nothing pickled.

    Args:
        model: the package; its whole folder goes along.
        answers: what it answers, of which its signature is.
        folder: a new one.
        model_id: under which MLflow will know it.
        run_id: MLflow's, of the run that made it.
    """
    import mlflow.pyfunc
    from mlflow.models import Model as MlflowModel

    plan = model.plan
    with tempfile.TemporaryDirectory() as scratch:
        library = Path(scratch, "segline")
        ignored = shutil.ignore_patterns("__pycache__", ".*", "viewer")
        # MLflow copies what the links lead to
        shutil.copytree(Path(__file__).parents[1], library, ignore=ignored, copy_function=os.symlink)
        mlflow.pyfunc.save_model(
            path=str(folder),
            loader_module=_LOADER,
            data_path=str(model.folder),
            code_paths=[str(library)],
            pip_requirements=requirements(),
            signature=_signature(answers),
            input_example=_example(plan.channels, answers),
            metadata={"task": plan.task, "channels": list(plan.channels), "labels": answers.labels(plan)},
            mlflow_model=MlflowModel(model_id=model_id, run_id=run_id),
        )


def _signature(answers: Answers) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    path = ColSpec(DataType.string, answers.noun)
    columns: list[ColSpec | TensorSpec] = [ColSpec(AnyType(), "image"), path]
    number = DataType.long if answers.counts else DataType.double
    remarks = ColSpec(DataType.string, "remarks")
    written: list[ColSpec | TensorSpec] = [path, ColSpec(number, answers.measure), remarks]
    params = [ParamSpec(name, DataType.string, default) for name, default in DEFAULTS.items()]
    return ModelSignature(Schema(columns), Schema(written), ParamSchema(params))


def _example(channels: tuple[str, ...], answers: Answers) -> "pandas.DataFrame":
    import pandas

    images = [f"{channel}.nii.gz" for channel in channels]
    answer = answers.noun + answers.suffixes[0]
    return pandas.DataFrame({"image": [images[0] if len(images) == 1 else images], answers.noun: [answer]})
