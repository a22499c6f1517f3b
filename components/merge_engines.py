"""Component: one package with the engines of two."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def merge_engines(
    run: str, model: dsl.Input[dsl.Model], other: dsl.Input[dsl.Model], merged: dsl.Output[dsl.Model]
) -> None:
    """Bring together what was built on nodes with different GPUs.

    Args:
        run: folder of the run.
        model: a package.
        other: the same package, with engines for other GPUs.
        merged: the package with the engines of both.
    """
    from segline import stages

    stages.merge_engines(run, model.path, other.path, merged.path)
