"""Component: the run's folder."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def start(run: str, task: str, overrides: str = "", data: str = "") -> None:
    """Make the run's folder, on a cluster, where nothing but a pod can reach it.

    Args:
        run: name of the run.
        task: the task, by name or as JSON, which is written there.
        overrides: of its plan, in one line.
        data: where the volumes come from, in place of the task's source.
    """
    from segline import stages

    stages.start(run, task, overrides, data)
