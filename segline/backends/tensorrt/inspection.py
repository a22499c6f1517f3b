"""What an engine is made of: its layers, their types, and the memory it takes."""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

from segline.backends.tensorrt.flavour import Flavour
from segline.backends.tensorrt.target import Target
from segline.common.documents import Document


class EngineSummary(Document):
    """Layers of an engine, or of the network it was built from where no GPU can load it."""

    kind = "an engine's summary"
    stage = "build_tensorrt"

    seen_in: Literal["engine", "network"]
    layers: dict[str, int]
    """How many of each kind and type: ``convolution half``."""
    engine_bytes: int
    device_memory_bytes: int | None
    """For activations, at the largest windows; ``None`` where no GPU has loaded the engine."""


def summarize(flavour: Flavour, network: Any, content: bytes, target: Target) -> EngineSummary:
    """Inspect an engine on the GPU it was built for, or its network where there is none.

    Raises:
        SeglineError: TensorRT cannot load what it has just built.
    """
    if target.gpu is None:
        layers = _network_layers(network)
        return EngineSummary(
            seen_in="network", layers=layers, engine_bytes=len(content), device_memory_bytes=None
        )
    runtime = flavour.runtime(flavour.logger())
    engine = flavour.deserialized(content, runtime, "the new engine")
    shown = engine.create_engine_inspector().get_engine_information(
        flavour.module.LayerInformationFormat.JSON
    )
    return EngineSummary(
        seen_in="engine",
        layers=inspected_layers(json.loads(shown)),
        engine_bytes=len(content),
        device_memory_bytes=engine.device_memory_size_v2,
    )


def inspected_layers(information: dict[str, Any]) -> dict[str, int]:
    """Count the layers of an engine inspector's JSON by kind and type of their first output.

    >>> outputs = [{"Name": "scores", "Datatype": "Half", "Format": "(NDHWC) Channel major"}]
    >>> inspected_layers({"Layers": [{"Name": "a", "LayerType": "correlation", "Outputs": outputs}]})
    {'correlation half': 1}
    """
    return _counted((layer.get("LayerType", "unknown"), _type(layer)) for layer in information["Layers"])


def _type(layer: dict[str, Any]) -> str:
    for output in layer.get("Outputs", ()):
        # one entry in older versions: "Format/Datatype"
        return str(output.get("Datatype") or output.get("Format/Datatype") or "unknown")
    return "no output"


def _network_layers(network: Any) -> dict[str, int]:
    layers = (network.get_layer(n) for n in range(network.num_layers))
    return _counted((layer.type.name, layer.get_output(0).dtype.name) for layer in layers)


def _counted(pairs: Iterable[tuple[str, str]]) -> dict[str, int]:
    return dict(sorted(Counter(f"{kind} {dtype}".lower() for kind, dtype in pairs).items()))
