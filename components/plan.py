"""Component: propose a plan."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def plan(run: str, manifest: dsl.Input[dsl.Dataset], plan: dsl.Output[dsl.Artifact]) -> None:
    """Take the data set's fingerprint and freeze the contract between training and inference.

    Args:
        run: folder of the run, whose task overrides what is proposed.
        manifest: the verified data set.
        plan: spacing, intensity, patch, network, training, gate and split, with a digest.
    """
    from segline import stages

    stages.plan(run, manifest.path, plan.path)
