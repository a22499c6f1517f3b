"""Component: bring the cases onto the plan's grid."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def preprocess(
    run: str,
    store: str,
    manifest: dsl.Input[dsl.Dataset],
    plan: dsl.Input[dsl.Artifact],
    cases: dsl.Output[dsl.Dataset],
) -> None:
    """Compute every case that is not in the cache yet.

    Args:
        run: folder of the run.
        store: holds the cache of cases, by content.
        manifest: the verified data set.
        plan: whose preprocessing part decides what is computed.
        cases: which cached entry holds which case.
    """
    from segline import stages

    stages.preprocess(run, store, manifest.path, plan.path, cases.path)
