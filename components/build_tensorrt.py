"""Component: build a TensorRT engine."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def build_tensorrt(run: str, model: dsl.Input[dsl.Model], engines: dsl.Output[dsl.Artifact]) -> None:
    """Build an engine for this node's GPU; skipped, with the reason on record, where there is none.

    Args:
        run: folder of the run.
        model: the package with an ONNX graph.
        engines: folder of engines by GPU architecture.
    """
    from segline import stages

    stages.build_tensorrt(run, model.path, engines.path)
