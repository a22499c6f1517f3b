"""Component: the plan of one fold."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def take_fold(run: str, whole: dsl.Input[dsl.Artifact], plan: dsl.Output[dsl.Artifact]) -> None:
    """Split the cases as this fold asks; nothing else of the plan changes, so that all folds share the cache.

    Args:
        run: folder of the fold's run.
        whole: the plan of the data set.
        plan: the same with the fold's split.
    """
    from segline import stages

    stages.take_fold(run, whole.path, plan.path)
