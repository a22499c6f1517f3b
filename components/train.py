"""Component: find the weights."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def train(
    run: str,
    store: str,
    plan: dsl.Input[dsl.Artifact],
    cases: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    curves: dsl.Output[dsl.HTML],
    device: str = "auto",
) -> None:
    """Train, or continue the interrupted training of the same plan and cases.

    Args:
        run: folder of the run.
        store: holds the checkpoint while the training lasts.
        plan: network, schedule, augmentation and split.
        cases: the preprocessed cases.
        model: the package: plan, weights, history.
        curves: the learning curves, a page.
        device: ``cpu``, ``cuda`` or ``auto``.
    """
    from segline import stages

    stages.train(run, store, plan.path, cases.path, model.path, device, curves.path)
