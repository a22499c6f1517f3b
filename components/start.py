"""Component: the run's folder."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def start(run: str, task: str) -> None:
    """Make the run's folder, on a cluster, where nothing but a pod can reach it.

    Args:
        run: folder of the run.
        task: the task as JSON, which is written there.
    """
    import json

    from segline import stages
    from segline.plan import Task

    stages.start_run(run, Task.parse(json.loads(task), "task"))
