"""Component: build a TensorRT engine."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def build_tensorrt(
    run: str, store: str, quantized: dsl.Input[dsl.Model], model: dsl.Output[dsl.Model], gpu: str = ""
) -> None:
    """Add an engine for this node's GPU; skipped, with the reason on record, where there is none.

    Args:
        run: folder of the run.
        store: keeps the timing caches of earlier builds.
        quantized: the package with an ONNX graph.
        model: the package, with an engine if there is a GPU.
        gpu: the node's ``nvidia.com/gpu.product``, by which a cluster chooses it; whatever is there if empty.
    """
    from segline import stages

    stages.build_tensorrt(run, store, quantized.path, model.path, gpu)
