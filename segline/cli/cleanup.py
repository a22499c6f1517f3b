"""``segline cleanup``: remove what no registered model and no recent run needs from a bucket."""

import argparse
import os
import sys
from typing import Any


def add_cleanup(commands: Any) -> None:
    cleanup = commands.add_parser(
        "cleanup", help="remove what no registered model and no recent run needs from a bucket"
    )
    cleanup.add_argument(
        "--bucket", default="", help="s3://bucket, of runs and their store ($SEGLINE_BUCKET)"
    )
    cleanup.add_argument("--tracking", default="", help="URI of the MLflow server ($MLFLOW_TRACKING_URI)")
    cleanup.add_argument("--unused-days", type=float, default=90, help="for how long (90)")
    cleanup.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    cleanup.set_defaults(run_command=_cleanup)


def _cleanup(options: argparse.Namespace) -> None:
    from datetime import timedelta

    from segline.registry.cleaning import clean, leftovers
    from segline.storage.access import Access
    from segline.tracking.mlflow_connection import registry_at

    access, age = Access.from_environment(os.environ), timedelta(days=options.unused_days)
    bucket = options.bucket.rstrip("/") or access.bucket
    found = leftovers(bucket, registry_at(bucket, options.tracking, os.environ), access, age)
    if options.dry_run:
        sys.stdout.write(f"{bucket}: would be removed: {found}\n")
        return
    clean(bucket, found, access, age)
    sys.stdout.write(f"{bucket}: removed: {found}\n")
