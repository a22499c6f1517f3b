"""Layouts: plans and tasks as they were first written are read, and digested, to this day.

``members`` and ``seeds`` were settings of the network. Packages, stores and registries hold such plans, and
their digests: the digest of a plan is that of its first layout, whatever it is written in.
"""

from collections.abc import Mapping
from typing import Any

_OF_THE_NETWORK = ("members", "seeds")


def of_today(values: Any) -> Any:
    """A plan, or a task's part of one, with each setting where it is now."""
    network = values.get("network") if isinstance(values, Mapping) else None
    if not isinstance(network, Mapping) or not set(_OF_THE_NETWORK) & network.keys():
        return values
    moved = {name: network[name] for name in _OF_THE_NETWORK if name in network}
    kept = {name: value for name, value in network.items() if name not in moved}
    return {**values, "network": kept, "ensemble": {**values.get("ensemble", {}), **moved}}


def as_first_written(document: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse, for digests; one network is not mentioned."""
    written = dict(document)
    ensemble = {name: count for name, count in written.pop("ensemble", {}).items() if count > 1}
    return {**written, "network": {**written["network"], **ensemble}}
