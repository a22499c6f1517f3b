"""Every object is what Kubernetes' own schemas of its oldest and newest version here allow."""

import copy

import kubernetes_validate
import pytest

from .conftest import Document, written

pytestmark = pytest.mark.heavy

VERSIONS = ("1.31", "1.34")
CUSTOM = {("monitoring.coreos.com/v1", "ServiceMonitor")}
"""Kinds that Kubernetes has no schema of."""


def native(documents: list[Document]) -> list[Document]:
    """Those that Kubernetes has a schema of."""
    return [one for one in documents if (one["apiVersion"], one["kind"]) not in CUSTOM]


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_match_the_schema(documents: list[Document], version: str) -> None:
    for document in native(documents):
        assert kubernetes_validate.validate(document, version, strict=True) == version


@pytest.mark.parametrize("version", VERSIONS)
def test_a_misspelt_field_does_not(version: str) -> None:
    faulty = copy.deepcopy(next(one for one in written().values() if one["kind"] == "StatefulSet"))
    pod = faulty["spec"]["template"]["spec"]
    pod["containers"][0]["livenesProbe"] = pod["containers"][0].pop("livenessProbe")
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(faulty, version, strict=True)
