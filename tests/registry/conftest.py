"""The fixtures of tests that need MLflow."""

from ..mlflow_runs import either, file, predictions, quiet, registry, runs, server

__all__ = ["either", "file", "predictions", "quiet", "registry", "runs", "server"]
