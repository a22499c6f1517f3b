"""Building engines: from an exported graph to an engine, its sidecar and the summary of its layers."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segline.backends.tensorrt.engine import (
    EnginePrecision,
    EngineSidecar,
    TensorSpec,
    best_precision,
    engine_path,
    graph_of,
    sidecar_path,
    summary_path,
)
from segline.backends.tensorrt.flavour import Flavour
from segline.backends.tensorrt.inspection import summarize
from segline.backends.tensorrt.profiles import Profile, plan_profiles
from segline.backends.tensorrt.target import Target
from segline.common import atomic
from segline.common.digests import sha256_of_file
from segline.common.errors import SeglineError, UnavailableError
from segline.machine.nvidia import nvidia_driver_missing
from segline.model.package import Model


def build_engine(
    model: Model, target: Target, timing_cache: Path, precision: EnginePrecision | None = None
) -> Path:
    """Add an engine for ``target`` to the package, in place of the one for its architecture.

    Args:
        model: an exported package.
        target: :meth:`Target.here`, or :meth:`Target.without_gpu`.
        timing_cache: file of what TensorRT has timed, which shortens the next build; need not exist yet.
        precision: of the arithmetic; float16 where the package has such a graph, if not given.

    Returns:
        The engine, beside which lie its sidecar and a summary of its layers.

    Raises:
        UnavailableError: the target cannot be built for here, or there is no float16 graph.
        SeglineError: nothing was exported, a part is of another model, or TensorRT refuses the graph.
    """
    flavour = _flavour_for(target)
    chosen = precision or best_precision(model)
    graph = graph_of(model, chosen)
    build = _Build(flavour, graph, plan_profiles(model.plan), target)
    content = build.run(timing_cache)
    engine = engine_path(model, target.architecture, chosen)
    sidecar = EngineSidecar(
        engine_sha256=hashlib.sha256(content).hexdigest(),
        onnx_sha256=sha256_of_file(graph),
        plan_digest=model.plan.digest,
        target=target,
        precision=chosen,
        opset=model.sidecar().opset,
        builder_flags=build.flags,
        profiles=build.profiles,
        inputs=build.inputs,
        outputs=build.outputs,
    )
    summarize(flavour, build.network, content, target).write(summary_path(engine))
    with atomic.new_file(engine) as scratch:
        scratch.write_bytes(content)
    sidecar.write(sidecar_path(engine))
    return engine


def _flavour_for(target: Target) -> Flavour:
    """The installed TensorRT of the target; without a driver, the full one can end the process.

    Raises:
        UnavailableError: it cannot build for the target here.
    """
    flavour = Flavour.installed(target.flavour)
    missing = nvidia_driver_missing()
    if missing and (target.gpu or flavour.needs_gpu_to_build):
        raise UnavailableError(missing)
    if flavour.version != target.version:
        raise UnavailableError(
            f"tensorrt: {flavour.name} {target.version} was asked for, {flavour.version} is installed"
        )
    return flavour


class _Build:
    """A parsed graph and how to build it; TensorRT's objects live as long as it does."""

    def __init__(self, flavour: Flavour, graph: Path, profiles: Sequence[Profile], target: Target) -> None:
        self._flavour = flavour
        self._name = graph
        self._log = flavour.logger()
        self._builder = flavour.module.Builder(self._log)
        self.network = self._builder.create_network(flavour.network_flags)
        self._parser = flavour.module.OnnxParser(self.network, self._log)
        if not self._parser.parse(graph.read_bytes()):
            faults = [self._parser.get_error(n).desc() for n in range(self._parser.num_errors)]
            raise self._refusal(faults)
        self._config = self._builder.create_builder_config()
        self._configure(target)
        self.profiles = tuple(profiles)
        for profile in profiles:
            self._add(profile)

    def run(self, timing_cache: Path) -> bytes:
        """The engine's bytes; what was timed is added to ``timing_cache``."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TensorRT-RTX times nothing, and says so
            self._use(timing_cache)
            built = self._builder.build_serialized_network(self.network, self._config)
            if built is None:
                raise self._refusal(self._log.errors)
            with atomic.new_file(timing_cache) as scratch:
                scratch.write_bytes(bytes(self._config.get_timing_cache().serialize()))
        return bytes(built)

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the builder's flags that are set."""
        members = self._flavour.module.BuilderFlag.__members__
        return tuple(name for name, flag in members.items() if self._config.get_flag(flag))

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What goes in."""
        return tuple(_spec(self.network.get_input(n)) for n in range(self.network.num_inputs))

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What comes out."""
        return tuple(_spec(self.network.get_output(n)) for n in range(self.network.num_outputs))

    def _configure(self, target: Target) -> None:
        trt, config = self._flavour.module, self._config
        # TF32 keeps ten bits of a float: too few for the answer of every other backend
        config.clear_flag(trt.BuilderFlag.TF32)
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if self._flavour.needs_gpu_to_build:
            return
        known = trt.ComputeCapability.__members__
        wanted = target.architecture.replace("_", "").upper()
        if wanted not in known:
            raise UnavailableError(
                f"tensorrt: {self._flavour.name} {self._flavour.version} does not know "
                f"{target.architecture}; pip install tensorrt"
            )
        config.num_compute_capabilities = 1
        config.set_compute_capability(known[wanted], 0)

    def _add(self, profile: Profile) -> None:
        shapes = self._builder.create_optimization_profile()
        name = self.network.get_input(0).name
        shapes.set_shape(name, profile.smallest, profile.typical, profile.largest)
        if self._config.add_optimization_profile(shapes) < 0:
            raise self._refusal(self._log.errors)

    def _use(self, timing_cache: Path) -> None:
        known = timing_cache.read_bytes() if timing_cache.is_file() else b""
        for content in (known, b""):  # what another GPU or version has timed, or a damaged file, is left
            cache = self._config.create_timing_cache(content)
            if cache is not None and self._config.set_timing_cache(cache, False):
                return

    def _refusal(self, faults: Sequence[str]) -> SeglineError:
        why = faults[0] if faults else "no reason given"
        return SeglineError(
            f"{self._name}: {self._flavour.name} {self._flavour.version} cannot build it: {why}"
        )


def _spec(tensor: Any) -> TensorSpec:
    return TensorSpec(name=tensor.name, dtype=tensor.dtype.name.lower(), shape=tuple(tensor.shape))
