"""Component: the gate."""

from typing import List  # noqa: UP035  # kfp reads List, not list, of artifacts

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def compare(
    run: str,
    plan: dsl.Input[dsl.Artifact],
    on_gpu: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    on_cpu: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    verdict: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    page: dsl.Output[dsl.HTML],
) -> str:
    """Whether every backend gives PyTorch's answer case by case, and whether that is good enough.

    Args:
        run: folder of the run.
        plan: whose gate says what is required.
        on_gpu: an evaluation of each backend that can use a GPU, or why it is absent.
        on_cpu: the same of the others.
        verdict: the reasons and every comparison.
        metrics: the verdict in figures.
        page: the verdict for people.

    Returns:
        ``passed`` or ``blocked``.
    """
    from segline import stages

    folders = [evaluation.path for evaluation in [*on_gpu, *on_cpu]]
    return stages.compare(run, plan.path, folders, verdict.path, page.path, metrics.log_metric)
