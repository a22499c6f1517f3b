"""Component: the registry."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def register(run: str, store: str, tracking: str = "", device: str = "auto") -> str:
    """Register the run's model; it becomes the champion if it is better, on the same cases.

    Args:
        run: folder of the run, which the gate has passed; otherwise nothing is registered.
        store: folder whose SQLite file is the registry where ``tracking`` is empty.
        tracking: URI of an MLflow server.
        device: ``cpu``, ``cuda`` or ``auto``.

    Returns:
        The version, as in ``spleen/3``.
    """
    from segline import stages

    return stages.register(run, store, tracking, device)
