"""Component: look for new cases."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def intake(
    run: str,
    store: str,
    manifest: dsl.Output[dsl.Dataset],
    previous: dsl.Output[dsl.Artifact],
    tracking: str = "",
) -> str:
    """Compare the task's data source with what the champion was trained on; bad new cases are set aside.

    Args:
        run: folder of the run.
        store: folder for what is kept between runs.
        manifest: the cases that may be learned from.
        previous: the champion's plan.
        tracking: URI of an MLflow server; the store's own registry where it is empty.

    Returns:
        ``new`` or ``nothing new``.
    """
    from segline import stages

    return stages.intake(run, store, tracking, manifest.path, previous.path)
