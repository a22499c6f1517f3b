"""Component: score the test cases with one backend."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def evaluate(
    run: str,
    backend: str,
    model: dsl.Input[dsl.Model],
    manifest: dsl.Input[dsl.Dataset],
    evaluation: dsl.Output[dsl.Artifact],
    classes: dsl.Output[dsl.ClassificationMetrics],
    device: str = "auto",
) -> None:
    """Predict every test case and score it on the label file's own grid.

    Args:
        run: folder of the run.
        backend: one of ``segline.backends.BACKENDS``.
        model: the package with an ONNX graph.
        manifest: the data set that the model's plan was made for.
        evaluation: metrics by case and label with intervals, and the masks.
        classes: the confusion matrix of the voxels, and the ROC of foreground against background.
        device: ``cpu``, ``cuda`` or ``auto``.
    """
    from segline import stages

    stages.evaluate(run, backend, model.path, manifest.path, evaluation.path, device, classes)
