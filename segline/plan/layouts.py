"""Layouts: plans and tasks as they were first written are read, and digested, to this day.

``members`` and ``seeds`` were settings of the network, the gate's floor was Dice's, and the one sampler that
there was had a ratio and no name. Packages, stores and registries hold such plans, and their digests: the
digest of a plan is that of its first layout, whatever it is written in.
"""

from collections.abc import Callable, Mapping
from typing import Any

_OF_THE_NETWORK = ("members", "seeds")
_FLOOR = "dice_floor"
_RATIO = "foreground_ratio"


def of_today(values: Any) -> Any:
    """A plan, or a task's part of one, with each setting where it is now."""
    if not isinstance(values, Mapping):
        return values
    parts = {"gate": gate_of_today, "training": training_of_today}
    values = {**values, **{name: part(values[name]) for name, part in parts.items() if name in values}}
    network = values.get("network")
    if not isinstance(network, Mapping) or not set(_OF_THE_NETWORK) & network.keys():
        return values
    moved = {name: network[name] for name in _OF_THE_NETWORK if name in network}
    kept = {name: value for name, value in network.items() if name not in moved}
    ensemble = values.get("ensemble", {})
    joined = {**ensemble, **moved} if isinstance(ensemble, Mapping) else ensemble
    return {**values, "network": kept, "ensemble": joined}


def gate_of_today(values: Any) -> Any:
    """The gate part, with its floor called by its name of now."""
    return _moved(values, _FLOOR, "floor", lambda floor: floor)


def training_of_today(values: Any) -> Any:
    """The training part, with its sampler by name."""
    return _moved(values, _RATIO, "sampler", lambda ratio: {"name": "label", "ratio": ratio})


def _moved(values: Any, before: str, now: str, of_now: Callable[[Any], Any]) -> Any:
    """A part with one setting where it is now; given under both names, one is too many, and stays."""
    if not isinstance(values, Mapping) or before not in values or now in values:
        return values
    kept = {name: value for name, value in values.items() if name != before}
    return {**kept, now: of_now(values[before])}


def as_first_written(document: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse, for digests; one network is not mentioned."""
    written = dict(document)
    gate = dict(written["gate"])
    floor = gate.pop("floor")
    written["gate"] = {**gate, _FLOOR: floor}
    sampler = written["training"]["sampler"]
    if sampler["name"] == "label":
        training = {name: value for name, value in written["training"].items() if name != "sampler"}
        written["training"] = {**training, _RATIO: sampler["ratio"]}
    ensemble = {name: count for name, count in written.pop("ensemble", {}).items() if count > 1}
    return {**written, "network": {**written["network"], **ensemble}}
