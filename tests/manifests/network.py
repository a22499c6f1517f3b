"""Who may speak to whom under a set of NetworkPolicies, by Kubernetes' own rules for them."""

import ipaddress
from dataclasses import dataclass, field
from typing import Any

from .conftest import Document


@dataclass(frozen=True)
class Pod:
    """A pod by its namespace and labels."""

    namespace: str
    labels: dict[str, str] = field(default_factory=dict)
    space: dict[str, str] = field(default_factory=dict)
    """Labels of the namespace, besides its name."""


@dataclass(frozen=True)
class Address:
    """A place outside the cluster."""

    ip: str


def allowed(
    documents: list[Document], source: Pod, target: Pod | Address, port: int, protocol: str = "TCP"
) -> bool:
    """Whether the policies let ``source`` open a connection to ``target``."""
    leaves = _passes(documents, source, target, "egress", port, protocol)
    return leaves and (
        isinstance(target, Address) or _passes(documents, target, source, "ingress", port, protocol)
    )


def _passes(
    documents: list[Document], pod: Pod, peer: Pod | Address, way: str, port: int, protocol: str
) -> bool:
    policies = [
        one
        for one in documents
        if one["kind"] == "NetworkPolicy"
        and one["metadata"]["namespace"] == pod.namespace
        and way.capitalize() in one["spec"]["policyTypes"]
        and _selects(one["spec"]["podSelector"], pod.labels)
    ]
    rules = [(one["metadata"]["namespace"], rule) for one in policies for rule in one["spec"].get(way) or []]
    side = "to" if way == "egress" else "from"
    return not policies or any(
        _port_matches(rule, port, protocol) and _peer_matches(rule.get(side), peer, home)
        for home, rule in rules
    )


def _port_matches(rule: dict[str, Any], port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return ports is None or {"port": port, "protocol": protocol} in ports


def _peer_matches(peers: list[dict[str, Any]] | None, peer: Pod | Address, home: str) -> bool:
    return peers is None or any(_is_peer(one, peer, home) for one in peers)


def _is_peer(one: dict[str, Any], peer: Pod | Address, home: str) -> bool:
    if isinstance(peer, Address):
        if "ipBlock" not in one:
            return False
        block, ip = one["ipBlock"], ipaddress.ip_address(peer.ip)
        return ip in ipaddress.ip_network(block["cidr"]) and not any(
            ip in ipaddress.ip_network(hole) for hole in block.get("except", [])
        )
    if "ipBlock" in one:
        return False
    where = {"kubernetes.io/metadata.name": peer.namespace, **peer.space}
    at_home = (
        peer.namespace == home
        if "namespaceSelector" not in one
        else _selects(one["namespaceSelector"], where)
    )
    return at_home and _selects(one.get("podSelector", {}), peer.labels)


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    within = all(
        one["operator"] == "In" and labels.get(one["key"]) in one["values"]
        for one in selector.get("matchExpressions", [])
    )
    return within and selector.get("matchLabels", {}).items() <= labels.items()
