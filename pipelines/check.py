"""Say what a Kubernetes cluster lacks before the pipeline can run on it."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.cluster.api import Kubernetes
from pipelines.cluster.footprint import Demand
from pipelines.cluster.names import NAMESPACE
from pipelines.cluster.readiness import Finding, examine
from segline.common.errors import SeglineError

_ANSWERS = {True: "yes", False: "no ", None: "?  "}


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell of each thing whether it is there; 0, or 2 where one is missing or the cluster cannot be asked."""
    options = _parser().parse_args(arguments)
    try:
        demand = Demand.of(options.accelerator, options.profile, options.gpu_types)
        cluster = Kubernetes.connect(options.kubeconfig, options.namespace)
        findings = examine(cluster, demand, os.environ.get("S3_ENDPOINT", ""))
        _tell(findings)
    except SeglineError as error:
        sys.stderr.write(f"segline: {error}\n")
        return 2
    return 0


def _tell(findings: Sequence[Finding]) -> None:
    for finding in findings:
        sys.stdout.write(f"{_ANSWERS[finding.ok]}  {finding.name:18}  {finding.detail}\n")
    missing = [finding.name for finding in findings if finding.ok is False]
    if missing:
        raise SeglineError(f"the cluster is not ready: {', '.join(missing)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.check", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="instead of $KUBECONFIG or ~/.kube/config")
    parser.add_argument("--namespace", default=NAMESPACE, help=f"of the pipeline's pods ({NAMESPACE})")
    parser.add_argument("--accelerator", default="", help="nvidia (default) or none")
    parser.add_argument("--profile", default="", help="full (default) or small: what stages ask for")
    parser.add_argument("--gpu-types", default="", help="GPU products that engines are built for")
    return parser


if __name__ == "__main__":
    sys.exit(main())
