"""``segline models``, ``pull``, ``rollback``, ``bundle`` and ``drift``: what is registered, and in use."""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segline.common.errors import SeglineError

if TYPE_CHECKING:
    from segline.model.package import Model
    from segline.registry.references import Reference
    from segline.tracking.mlflow_connection import Registry


def add_registry_commands(commands: Any, *others: argparse.ArgumentParser) -> None:
    """The parsers of what reads the registry; ``others`` are given its arguments, too."""
    models = commands.add_parser("models", help="the registered versions")
    models.add_argument("task", nargs="?", help="of this task only")
    models.set_defaults(run_command=_models)
    pull = commands.add_parser("pull", help="bring a registered model to a folder")
    pull.add_argument("reference", help="spleen@champion, spleen/3, or spleen for its champion")
    pull.add_argument("-o", "--output", type=Path, help="new folder (TASK-VERSION)")
    pull.set_defaults(run_command=_pull)
    rollback = commands.add_parser("rollback", help="make the champion's predecessor the champion again")
    rollback.add_argument("task")
    rollback.set_defaults(run_command=_rollback)
    bundle = commands.add_parser("bundle", help="write a model as a MONAI bundle")
    bundle.add_argument("model", help="model package, folder of a run, or reference as for pull")
    bundle.add_argument("-o", "--output", type=Path, required=True, help="new folder")
    bundle.set_defaults(run_command=_bundle)
    drift = commands.add_parser("drift", help="whether what a served model is given has left what it learned")
    drift.add_argument("record", type=Path, nargs="+", help="files of JSON lines that serve wrote")
    drift.add_argument("--task", default="", help="of this task only")
    drift.add_argument("--json", action="store_true", help="tell it as one line of JSON")
    drift.set_defaults(run_command=_drift)
    for asker in (models, pull, rollback, bundle, *others):
        asker.add_argument("--store", type=Path, default=Path("store"), help="with the registry (store)")
        asker.add_argument("--tracking", default="", help="URI of an MLflow server instead")


def _models(options: argparse.Namespace) -> None:
    from segline.registry.versions import as_table, versions

    sys.stdout.write(as_table(versions(_registry(options), options.task)))


def _pull(options: argparse.Namespace) -> None:
    from segline.registry.pulling import pull
    from segline.registry.references import Reference
    from segline.registry.versions import resolve

    registry = _registry(options)
    version = resolve(registry, Reference.parse(options.reference))
    folder = options.output or Path(version.name.replace("/", "-"))
    pull(registry, version.reference, folder)
    sys.stdout.write(f"{folder}: {version.name}\n")


def _rollback(options: argparse.Namespace) -> None:
    from segline.registry.reigns import rollback

    sys.stdout.write(f"{rollback(_registry(options), options.task).name} is the champion again\n")


def _bundle(options: argparse.Namespace) -> None:
    from segline.kinds import kind_of

    model = chosen_model(options)
    kind_of(model.plan.kind).bundle(model, options.output)
    sys.stdout.write(f"{options.output}: a MONAI bundle, run by python -m monai.bundle run\n")


def chosen_model(options: argparse.Namespace) -> "Model":
    """A package, the one of a run, or a registered one, which is kept in the store; a folder comes first.

    Raises:
        SeglineError: it is neither, or damaged.
    """
    return chosen_version(options)[0]


def chosen_version(options: argparse.Namespace) -> "tuple[Model, str]":
    """:func:`chosen_model`, and the registered version's name, such as ``spleen/3``; of a folder none."""
    if model := package_at(options.model):
        return model, ""
    from segline.registry.versions import resolve

    reference = chosen_reference(options.model)
    registry = registry_that_exists(options, reference)
    version = resolve(registry, reference)
    from segline.serving.models.registered import kept_model

    return kept_model(registry, version, options.store), version.name


def package_at(place: str) -> "Model | None":
    """The package in a folder, or in that of a run; ``None`` where there is no folder.

    Raises:
        SeglineError: it is damaged.
    """
    from segline.common.documents.names import MODEL, PACKING_LIST
    from segline.model.package import Model

    folder = Path(place)
    if not folder.is_dir():
        return None
    if (listed := folder / PACKING_LIST).is_file():  # of a registered model that was pulled there
        from segline.common.digests import sha256_of_file
        from segline.registry.packing import require_whole

        require_whole(folder, sha256_of_file(listed), str(folder))
    return Model.open(folder / MODEL if (folder / MODEL).is_dir() else folder)


def _drift(options: argparse.Namespace) -> None:
    from segline.inference.familiarity.drift import drift_of, read_record

    drift = drift_of(read_record(options.record), options.task)
    if drift is None:
        of = f" of {options.task}" if options.task else ""
        raise SeglineError(
            f"{options.record[0]}: there is no answer{of} in it; name the file that serve wrote"
        )
    told = {**asdict(drift), "since": drift.since.isoformat(), "drifted": drift.is_sure}
    sys.stdout.write(f"{json.dumps(told) if options.json else drift.words}\n")


def _registry(options: argparse.Namespace) -> "Registry":
    from segline.tracking.mlflow_connection import registry_at

    return registry_at(options.store, options.tracking, os.environ)


def chosen_reference(text: str) -> "Reference":
    """A reference to a registered model.

    Raises:
        SeglineError: it is none.
    """
    from segline.registry.references import Reference

    try:
        return Reference.parse(text)
    except SeglineError as error:
        raise SeglineError(
            f"{text}: neither a folder nor a reference to a registered model; give the folder of a package "
            "or of a run, or as in spleen, spleen@champion or spleen/3"
        ) from error


def registry_that_exists(options: argparse.Namespace, reference: "Reference") -> "Registry":
    """The registry that is there already.

    Raises:
        SeglineError: a mistyped folder, which reads as a reference, makes none.
    """
    registry = _registry(options)
    if not registry.exists:
        raise SeglineError(
            f"{options.model}: no such folder, and no registry in {options.store} that may have {reference}; "
            "name the store that has it, --store FOLDER, or the MLflow server, --tracking URI"
        )
    return registry
