"""Component: fetch and verify a data set."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def download(run: str, store: str, source: str, manifest: dsl.Output[dsl.Dataset]) -> None:
    """Fetch a labelled data set once, verify every pair of files, and describe it.

    Args:
        run: folder of the run.
        store: folder for what is kept between runs.
        source: ``phantom:24``, ``Task09_Spleen``, a folder, a tar or ``s3://bucket/prefix``.
        manifest: where the files lie, their digests, shapes, spacings and label counts.
    """
    from segline import stages

    stages.download(run, store, source, manifest.path)
