"""Compile the pipeline for a cluster: the intermediate representation, and manifests that kubectl applies."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, get_args

import yaml
from kfp import compiler, dsl
from kfp.compiler.compiler_utils import KubernetesManifestOptions
from kfp.dsl import pipeline_context, pipeline_task

from components.start import start
from pipelines import resources
from pipelines.cluster.footprint import Accelerator, Demand
from pipelines.cluster.names import NAMESPACE
from pipelines.cross_validation import cross_validation, ensembling
from pipelines.dag import Breadth, retraining, training
from pipelines.resources import DIGESTS, Variant
from segline.common.digests import sha256_of_json
from segline.common.errors import SeglineError

PIPELINES = {make(Breadth()).name: make for make in (training, retraining, cross_validation, ensembling)}
USUAL = {"segline-folds": "split.folds=5", "segline-ensemble": "split.folds=5 ensemble.members=5"}
"""The overrides without which a pipeline has nothing to do."""
FIRST = ("download", "intake", "split_folds")
"""The stages that wait for no other in the DAG."""
COMPILED = Path(__file__).parent / "compiled"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, where PyYAML was built with it, reads a pipeline in a tenth of the time."""


@dataclass(frozen=True)
class Package:
    """A compiled pipeline."""

    path: Path
    """The intermediate representation, YAML."""
    pipeline: str
    """Name of the pipeline."""
    version: str
    """Named after the content: what is the same is uploaded once."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write ``pipelines/compiled``; 0, or 2 after a one-line error."""
    options = _parser().parse_args(arguments)
    try:
        for accelerator in _accelerators(options):
            demand = Demand.of(accelerator, options.profile, options.gpu_types)
            target = Variant.of(demand, options.digests)
            for name in PIPELINES:
                _write(name, target, options)
    except SeglineError as error:
        sys.stderr.write(f"segline: {error}\n")
        return 2
    return 0


def for_cluster(pipeline: str, target: Variant) -> Any:
    """The DAG as it is, each of its tasks with what its stage gets on ``target``.

    The folder of the run is made by a stage of its own: here, who asks for a run cannot reach it. Run and
    store lie in the bucket of the cluster's settings, a run under the name of its workflow, which is no
    other's. Kubeflow Pipelines fills a placeholder in only where it is the whole of an argument.
    """
    breadth = Breadth(target.demand.gpu_types or ("",), folds_at_once=0)
    dag = PIPELINES[pipeline](breadth)
    first = "phantom" if target.demand.profile == "small" else "spleen"
    usual = USUAL.get(pipeline, "")

    def wired(task: str = first, overrides: str = usual, data: str = "", device: str = "auto") -> None:
        """What people fill in; as it stands, it runs.

        Args:
            task: by name, as ``spleen``, or as JSON.
            overrides: of its plan, between spaces: ``training.max_minutes=20 gate.floor=0.9``.
            data: where the volumes come from, ``s3://bucket/prefix``, in place of the task's source.
            device: ``auto``, or ``cpu`` to train without a GPU.
        """
        run = dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER
        started = start(run=run, task=task, overrides=overrides, data=data)
        dag.pipeline_func(run=run, store="", device=device, tracking="")
        for one in pipeline_context.Pipeline.get_default_pipeline().tasks.values():
            resources.apply(one, target)
            if resources.stage_of(one) in FIRST:
                one.after(started)

    with _callers_by_name_alone():
        compiled = dsl.pipeline(name=dag.name, description=dag.description)(wired)
    _shorten(compiled.pipeline_spec)
    return compiled


@contextmanager
def _callers_by_name_alone() -> Iterator[None]:
    """Whatever is set of a task, Kubeflow asks for the whole call stack with its sources, to read one name.

    That is two thirds of a compilation.
    """

    def stack() -> list[tuple[None, None, None, str]]:
        frame = sys._getframe(1)
        callers = (frame, frame.f_back or frame)
        return [(None, None, None, caller.f_code.co_name) for caller in callers]

    before = pipeline_task.inspect
    pipeline_task.inspect = SimpleNamespace(stack=stack)
    try:
        yield
    finally:
        pipeline_task.inspect = before


def _shorten(specification: Any) -> None:
    """Take out what says in words what each stage is given: nobody sees it, and every node carries it.

    Argo compresses a status of more than 1 MB, of which Kubeflow Pipelines then no longer lists the tasks.
    """
    for component in specification.components.values():
        for definitions in (component.input_definitions, component.output_definitions):
            for given in (*definitions.parameters.values(), *definitions.artifacts.values()):
                given.ClearField("description")


def compile_package(pipeline: str, target: Variant, folder: Path) -> Package:
    """Write ``segline.yaml``, say; without GPUs ``segline-cpu.yaml``, for a laptop ``-cpu-small``."""
    folder.mkdir(parents=True, exist_ok=True)
    cpu = "-cpu" if target.demand.accelerator == "none" else ""
    small = "-small" if target.demand.profile == "small" else ""
    path = folder / f"{pipeline}{cpu}{small}.yaml"
    compiler.Compiler().compile(for_cluster(pipeline, target), str(path))
    return Package(path, pipeline, _version(pipeline, path))


def compile_manifest(package: Package, target: Variant, namespace: str) -> Path:
    """Write the same as Pipeline and PipelineVersion of ``pipelines.kubeflow.org/v2beta1``."""
    path = package.path.with_suffix(".kubernetes.yaml")
    options = KubernetesManifestOptions(
        pipeline_version_name=package.version, namespace=namespace, include_pipeline_manifest=True
    )
    compiler.Compiler().compile(
        for_cluster(package.pipeline, target),
        str(path),
        kubernetes_manifest_options=options,
        kubernetes_manifest_format=True,
    )
    return path


def read_documents(path: Path) -> list[dict[str, Any]]:
    """All documents of a compiled file."""
    with path.open(encoding="utf-8") as file:
        return list(yaml.load_all(file, _LOADER))


def specifications(path: Path) -> list[dict[str, Any]]:
    """A compiled file's documents, without the version of the compiler."""
    documents = read_documents(path)
    for document in documents:
        document.pop("sdkVersion", None)
        document.get("spec", {}).get("pipelineSpec", {}).pop("sdkVersion", None)
    return documents


def add_demand(parser: argparse.ArgumentParser, defaults: Mapping[str, str] = MappingProxyType({})) -> None:
    """The options that say what is asked of a cluster, besides its accelerator."""
    parser.add_argument(
        "--profile", default=defaults.get("PROFILE", "full"), help="full (default), or small for a laptop"
    )
    parser.add_argument(
        "--gpu-types",
        default=defaults.get("GPU_TYPES", ""),
        metavar="PRODUCTS",
        help="GPU products to build an engine for each of: 'NVIDIA-L4 NVIDIA-A100-SXM4-80GB'",
    )


def _accelerators(options: argparse.Namespace) -> Sequence[str]:
    if options.accelerator:
        given: Sequence[str] = options.accelerator
        return given
    return ("nvidia",) if options.gpu_types else get_args(Accelerator)


def _write(pipeline: str, target: Variant, options: argparse.Namespace) -> None:
    package = compile_package(pipeline, target, options.output)
    manifest = compile_manifest(package, target, options.namespace)
    sys.stdout.write(f"{package.path}\n{manifest}\n")


def _version(pipeline: str, path: Path) -> str:
    return f"{pipeline}-{sha256_of_json(specifications(path))[:12]}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.compile", description=__doc__)
    parser.add_argument(
        "--accelerator",
        action="append",
        help="nvidia, or none for a cluster without GPUs; both by default",
    )
    add_demand(parser)
    parser.add_argument("--output", type=Path, default=COMPILED, help="folder (pipelines/compiled)")
    parser.add_argument(
        "--digests",
        type=Path,
        default=DIGESTS,
        help="JSON that says which images were built (images/digests.json); by version without such a file",
    )
    parser.add_argument("--namespace", default=NAMESPACE, help=f"of the manifests ({NAMESPACE})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
