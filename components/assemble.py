"""Component: the ensemble."""

from typing import List  # noqa: UP035  # kfp reads List, not list, of artifacts

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def assemble(
    run: str,
    plan: dsl.Input[dsl.Artifact],
    members: dsl.Input[List[dsl.Model]],  # noqa: UP006
    model: dsl.Output[dsl.Model],
) -> None:
    """Put the folds' networks together as one that averages their class scores.

    Args:
        run: folder of the run.
        plan: of the ensemble, from which each fold took its own.
        members: a trained package a fold, in any order.
        model: the package: plan, weights, where each member comes from.
    """
    from segline import stages

    stages.assemble(run, plan.path, [member.path for member in members], model.path)
