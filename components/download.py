"""Component: fetch and verify a data set."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def download(run: str, store: str, manifest: dsl.Output[dsl.Dataset]) -> None:
    """Fetch the labelled data set of the run's task once, verify every pair of files, and describe it.

    Args:
        run: folder of the run.
        store: folder for what is kept between runs.
        manifest: where the files lie, their digests, shapes, spacings and label counts.
    """
    from segline import stages

    stages.download(run, store, manifest.path)
