"""Component: quantise the exported network."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def quantize(
    run: str,
    exported: dsl.Input[dsl.Model],
    cases: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
) -> None:
    """Add an int8 graph for CPUs, calibrated on training patches; skipped, with the reason, if none is asked.

    Args:
        run: folder of the run.
        exported: the package with an ONNX graph.
        cases: the preprocessed cases that the patches are cut from.
        model: the package, with the int8 graph if there is one.
    """
    from segline import stages

    stages.quantize(run, exported.path, cases.path, model.path)
