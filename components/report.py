"""Component: the report."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def report(
    run: str,
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    store: str = "",
    tracking: str = "",
) -> None:
    """Write ``report.html`` and ``summary.json`` from whatever the run has come to.

    Args:
        run: folder of the run.
        page: the self-contained report.
        summary: status, reasons, figures and stages in short.
        store: as of the training.
        tracking: URI of the MLflow server that showed the training.
    """
    from segline import stages

    stages.report(run, page.path, summary.path, store, tracking)
