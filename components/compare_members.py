"""Component: the ensemble beside its members."""

from typing import List  # noqa: UP035  # kfp reads List, not list, of artifacts

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def compare_members(
    run: str,
    members: dsl.Input[List[dsl.Model]],  # noqa: UP006
    manifest: dsl.Input[dsl.Dataset],
    comparison: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    device: str = "auto",
) -> None:
    """What averaging gains and costs: each member on the ensemble's test cases, and the first one timed.

    Args:
        run: folder of the run, whose ensemble is evaluated and timed.
        members: the folds' packages, each with an ONNX graph.
        manifest: the data set.
        comparison: Dice of each on the same cases, bytes of weights, and the member's times.
        metrics: its main figures.
        device: ``cpu``, ``cuda`` or ``auto``.
    """
    from segline import stages

    folders = [member.path for member in members]
    stages.compare_members(run, folders, manifest.path, comparison.path, device, metrics.log_metric)
