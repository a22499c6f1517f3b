"""Where the model comes from: digests from the data set to the graph, versions, machine."""

from dataclasses import dataclass

from segline.model.sidecars import OnnxSidecar
from segline.report.findings import Findings
from segline.report.html.markup import Content, Html, details, element, table
from segline.report.html.wording import dash, short_digest
from segline.report.sections.data import fact_list


@dataclass(frozen=True)
class Link:
    """One object of the chain, and whether it names the one before it."""

    name: str
    digest: str | None
    missing: str
    """Why there is no digest."""
    fits: bool | None
    """Whether it was made from the object before; ``None`` where that cannot be told."""


def provenance(findings: Findings) -> Html:
    """The chain of digests, and what everything ran on."""
    model = findings.summary.model
    files = [(name, element("code", digest, class_="full")) for name, digest in model.items()]
    versions: list[tuple[str, Content]] = list(findings.info.versions.items())
    return element(
        "section",
        element("h2", "Provenance"),
        element("p", "Each object names the one it was made from: an answer can be traced to the raw files."),
        element("ol", *(_shown(link) for link in _chain(findings)), class_="chain"),
        details("Digests of the model package (SHA-256)", table(("Object", "Digest"), files))
        if files
        else None,
        element("h3", "Versions and machine"),
        fact_list([*versions, ("machine", findings.info.machine)]),
        id="provenance",
    )


def _chain(findings: Findings) -> list[Link]:
    parts = findings.contents
    manifest, plan, model, export = parts.manifest, parts.plan, parts.model, findings.export
    digests = findings.summary.model
    sidecar = export if isinstance(export, OnnxSidecar) else None
    return [
        Link("Data set", manifest.digest if manifest else None, findings.why_missing("download"), None),
        Link(
            "Plan",
            plan.digest if plan else None,
            findings.why_missing("plan"),
            plan.dataset_digest == manifest.digest if plan and manifest else None,
        ),
        Link(
            "Weights",
            digests.get("weights.pt"),
            findings.why_missing("train"),
            model.plan.digest == plan.digest if model and plan else None,
        ),
        Link(
            "ONNX",
            sidecar.onnx_sha256 if sidecar else None,
            export if isinstance(export, str) else "",
            sidecar.weights_sha256 == digests.get("weights.pt") if sidecar else None,
        ),
    ]


def _shown(link: Link) -> Html:
    fits = {
        True: ("fits", "made from the one before"),
        False: ("misfits", "not made from the one before"),
        None: ("", ""),
    }
    class_, mark = fits[link.fits]
    digest = short_digest(link.digest) if link.digest else dash(link.missing)
    note = element("small", mark, class_=class_) if mark else None
    return element("li", element("span", link.name), digest, note, class_=None if link.digest else "absent")
