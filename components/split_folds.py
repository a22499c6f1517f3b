"""Component: the folds of a cross-validation."""

from typing import List  # noqa: UP035  # kfp reads List, not list

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def split_folds(run: str) -> List[str]:  # noqa: UP006
    """Make a run within the run for each fold that the task asks for.

    Args:
        run: folder of the run, whose task says ``split.folds``.

    Returns:
        Their folders.
    """
    from segline import stages

    return stages.split_folds(run)
