"""Component: the folds' test cases together."""

from typing import List  # noqa: UP035  # kfp reads List, not list, of artifacts

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def pool(
    run: str,
    plan: dsl.Input[dsl.Artifact],
    evaluations: dsl.Input[List[dsl.Artifact]],  # noqa: UP006
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    classes: dsl.Output[dsl.ClassificationMetrics],
) -> None:
    """Every case of the data set, tested once by a model that never saw it.

    Args:
        run: folder of the run.
        plan: of the data set, from which each fold took its own.
        evaluations: one a fold, in any order.
        evaluation: metrics by case and label with intervals, the worst cases, the folds, and the masks.
        metrics: the main figures, pooled and of each fold.
        classes: the confusion matrix of the voxels, and the ROC of foreground against background.
    """
    from segline import stages

    folders = [fold.path for fold in evaluations]
    stages.pool(run, plan.path, folders, evaluation.path, metrics.log_metric, classes)
