"""Compile the pipeline to the intermediate representation that Kubeflow Pipelines runs."""

import sys
from pathlib import Path

from kfp import compiler

from pipelines.dag import segline_pipeline

COMPILED = Path(__file__).parent / "compiled" / "segline.yaml"


def main() -> None:
    """Write ``pipelines/compiled/segline.yaml``."""
    COMPILED.parent.mkdir(exist_ok=True)
    compiler.Compiler().compile(segline_pipeline, str(COMPILED))
    sys.stdout.write(f"{COMPILED}\n")


if __name__ == "__main__":
    main()
