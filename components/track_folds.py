"""Component: a cross-validation in the registry."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def track_folds(run: str, store: str, tracking: str = "") -> None:
    """Track the run in MLflow, and each fold as a run nested in it; no version is registered.

    Args:
        run: folder of the run, whose folds are pooled.
        store: folder whose SQLite file is the registry where ``tracking`` is empty.
        tracking: URI of an MLflow server.
    """
    from segline import stages

    stages.track_folds(run, store, tracking)
