"""What commands import sooner or later; :mod:`tests.command` forks from the process that imports this."""

import importlib
import os

from segline.stages import MODULES
from segline.tracking.mlflow_settings import quiet_mlflow

quiet_mlflow(os.environ)  # before the import, as commands do
for _name in (
    "segline.networks.lean_monai",
    *(f"segline.stages.{module}" for module in MODULES),
    "segline.acceptance.benchmark",
    "segline.data.cases.building",
    "segline.export.onnx",
    "segline.cli.main",
    "kfp.dsl.executor",
    "matplotlib.figure",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "onnxscript.function_libs.torch_lib.ops",
    "pipelines.local",
    "torch._dynamo",
    "torch.export._trace",
):
    importlib.import_module(_name)
