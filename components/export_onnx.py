"""Component: export the network to ONNX."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def export_onnx(
    run: str,
    trained: dsl.Input[dsl.Model],
    cases: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
) -> None:
    """Add an ONNX graph with free batch and spatial axes, checked against PyTorch on real patches.

    Args:
        run: folder of the run.
        trained: the package with weights.
        cases: the preprocessed cases that the patches are cut from.
        model: the package with graph and sidecar.
    """
    from segline import stages

    stages.export_onnx(run, trained.path, cases.path, model.path)
