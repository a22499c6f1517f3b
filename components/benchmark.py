"""Component: time every backend."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def benchmark(
    run: str,
    model: dsl.Input[dsl.Model],
    manifest: dsl.Input[dsl.Dataset],
    benchmark: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    device: str = "auto",
) -> None:
    """Time load, preprocess, network, stitch, invert and save, from file to file.

    Args:
        run: folder of the run.
        model: the package with an ONNX graph.
        manifest: the data set whose test cases are predicted.
        benchmark: latency of each stage and backend, throughput, peak memory, energy.
        metrics: its main figures.
        device: ``cpu``, ``cuda`` or ``auto``.
    """
    from segline import stages

    stages.benchmark(run, model.path, manifest.path, benchmark.path, device, metrics.log_metric)
