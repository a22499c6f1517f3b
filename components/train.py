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
    final_plan: dsl.Output[dsl.Artifact],
    device: str = "auto",
    tracking: str = "",
) -> None:
    """Train, or continue the interrupted training of the same plan and cases.

    Args:
        run: folder of the run.
        store: holds the checkpoint while the training lasts.
        plan: network, schedule, augmentation and split.
        cases: the preprocessed cases.
        model: the package: plan, weights, history.
        curves: the learning curves, a page.
        final_plan: what it was trained under: the plan, or what a probe made of one that asks to be tuned.
        device: ``cpu``, ``cuda`` or ``auto``.
        tracking: URI of an MLflow server that shows the curves while they are drawn.
    """
    from segline import stages

    outputs = model.path, device, curves.path, final_plan.path
    stages.train(run, store, plan.path, cases.path, *outputs, tracking)
