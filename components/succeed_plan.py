"""Component: carry the champion's plan on."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def succeed_plan(
    run: str,
    manifest: dsl.Input[dsl.Dataset],
    previous: dsl.Input[dsl.Artifact],
    plan: dsl.Output[dsl.Artifact],
) -> None:
    """Freeze a contract with the champion's preprocessing and network; its cases stay where they were split.

    Args:
        run: folder of the run, whose task overrides training, inference, export and gate.
        manifest: the data set as it is now.
        previous: the champion's plan; without one a plan is proposed anew.
        plan: the contract, with a digest.
    """
    from segline import stages

    stages.plan(run, manifest.path, plan.path, previous.path)
