"""``segline predict``: one volume by a package, the model of a run, or a registered one."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segline.cli.registry import chosen_version
from segline.common.errors import SeglineError

if TYPE_CHECKING:
    from segline.imaging.dicom.sources import Source
    from segline.imaging.volume import Volume
    from segline.inference.answers import Answers
    from segline.model.package import Model
    from segline.serving.folders.journal import Row
    from segline.serving.models.served import Reply, Served

DICOM = ".dcm"
BACKEND_HELP = (
    "auto (the fastest here, default), pytorch, onnxruntime, openvino, openvino_bf16, openvino_int8, tensorrt"
)


def add_predict(commands: Any) -> argparse.ArgumentParser:
    """The parser of ``predict``, with all but what it shares with the other readers of the registry."""
    predict: argparse.ArgumentParser = commands.add_parser(
        "predict", help="segment a volume or all below a folder, or what else the model is for"
    )
    predict.add_argument("model", help="model package, folder of a run, or reference as for pull")
    predict.add_argument(
        "image",
        type=Path,
        nargs="+",
        help="a file, or a DICOM folder; one a channel, or all; or a folder with images and series below it",
    )
    predict.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="what to write; a mask is .nii, .nii.gz or .nrrd, or .dcm of DICOM; classes are .json or .csv; "
        "for all below a folder a folder, which is there or has no dot in its name",
    )
    predict.add_argument("--fractional", action="store_true", help="into .dcm write how probable labels are")
    predict.add_argument("--sr", type=Path, help="beside .dcm, write volumes in ml as DICOM-SR to this file")
    predict.add_argument("--backend", default="auto", help=BACKEND_HELP)
    predict.add_argument("--device", default="auto", help="cpu, cuda or auto (default)")
    predict.add_argument("--json", action="store_true", help="tell what was done as one line of JSON")
    predict.add_argument("--plan", type=Path, help="insist on this plan.json")
    predict.set_defaults(run_command=_predict)
    return predict


def require_output(path: Path, images: Sequence[Path], answers: "Answers") -> None:
    """Find out before anything is computed whether an answer can be written.

    Raises:
        SeglineError: ``path`` is an image itself, has another ending than answers have, is a folder, lies
            below a file, or nothing may be written there.
    """
    if any(path.exists() and path.samefile(image) for image in images if image.exists()):
        raise SeglineError(f"{path}: is the image itself; write the {answers.noun} to another file")
    require_writable(path, answers.noun, (*answers.suffixes, *((DICOM,) if answers.write_dicom else ())))


def require_writable(path: Path, noun: str, suffixes: tuple[str, ...]) -> None:
    """Find out before anything is computed whether ``path`` can be written; ``noun`` is what it will be.

    Raises:
        SeglineError: it has none of the endings, is a folder, lies below a file, or nothing may be written
            there.
    """
    if not path.name.endswith(suffixes):
        raise SeglineError(f"{path}: a {noun} is written to {' or '.join(suffixes)}; name it so")
    if path.is_dir():
        raise SeglineError(f"{path}: is a folder; name a file in it")
    _require_place(path.absolute().parent, noun, path)


def _require_place(folder: Path, noun: str, path: Path) -> None:
    place = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not place.is_dir():
        raise SeglineError(f"{place}: is a file, and no folder to write {path.name} into")
    if not os.access(place, os.W_OK | os.X_OK):
        raise SeglineError(f"{place}: permission denied; write the {noun} elsewhere")


def _predict(options: argparse.Namespace) -> None:
    model, version = chosen_version(options)  # before anything heavy: it may not be there
    from segline.imaging.files import read_channels
    from segline.machine.memory import keep_freed_memory
    from segline.serving.models.served import Served

    keep_freed_memory()
    served = Served(model, version, options.backend, options.device)
    if _is_for_many(options):
        _predict_folder(options, served)
        return
    answers = served.answers
    _require_own_plan(options, model)
    require_output(options.output, options.image, answers)
    source = _source(options)
    several = _images_in(options.image) if answers.write_table else []
    replies = {}
    for images in [[image] for image in several] or [options.image]:
        volume = read_channels(images)
        with _named(images[0]) if several else nullcontext():
            replies[images[0]], made = _answered(served, volume, options.fractional)
    if source and answers.write_dicom:
        answers.write_dicom(options.output, made, source, model.plan, served.algorithm, options.sr)
    elif several and answers.write_table:
        table = {image.name: reply.answer for image, reply in replies.items()}
        answers.write_table(options.output, table)
    else:
        answers.write(options.output, made)
    _tell(options, answers, replies)


def _source(options: argparse.Namespace) -> "Source | None":
    """The series that a DICOM answer will refer to; none where no such answer is asked for.

    Raises:
        SeglineError: the image is no DICOM series, or something is asked for that only DICOM answers have.
    """
    from segline.imaging.dicom.sources import Source

    if options.output.suffix != DICOM:
        if options.fractional or options.sr:
            what = "--fractional" if options.fractional else "--sr"
            raise SeglineError(f"{options.output}: {what} goes with a DICOM answer; name it {DICOM}")
        return None
    if options.fractional and options.sr:
        raise SeglineError(f"{options.sr}: --sr tells volumes of a mask; leave --fractional out")
    if options.sr:
        require_writable(options.sr, "report", (DICOM,))
    return Source.at(options.image[0])


def _answered(served: "Served", volume: "Volume", fractional: bool) -> "tuple[Reply, Any]":
    """The reply, and what is written of it: the answer itself, or how probable each of its labels is."""
    if not fractional:
        reply = served.reply(volume)
        return reply, reply.answer
    predictor: Any = served.predictor()
    leads = predictor.leads(volume)
    shares = predictor.shares(leads)
    return served.judged(volume, predictor.mask(leads)), shares


def _require_own_plan(options: argparse.Namespace, model: "Model") -> None:
    from segline.plan import Plan

    if options.plan:
        model.require_plan(Plan.read(options.plan), options.plan)


def _is_for_many(options: argparse.Namespace) -> bool:
    """Whether a folder goes to a folder; a DICOM series to a file is one volume."""
    output: Path = options.output
    return [image.is_dir() for image in options.image] == [True] and (output.is_dir() or not output.suffix)


def _predict_folder(options: argparse.Namespace, served: "Served") -> None:
    from segline.common.progress import ConsoleProgress
    from segline.serving.folders.predicting import TABLE, predict_folder

    (source,), target = options.image, options.output
    _require_own_plan(options, served.model)
    _require_place(target, "answers", target)
    progress = ConsoleProgress("segline predict", sys.stderr)
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""

    def heard(row: "Row") -> None:
        told = [row.error] if row.error else [f"{source / row.image}: {line}" for line in row.warnings]
        sys.stderr.writelines(f"{clear}segline predict: {line}\n" for line in told)
        if options.json:
            sys.stdout.write(json.dumps(row.for_machines) + "\n")
            sys.stdout.flush()

    totals = predict_folder(served, source, target, heard, progress)
    if not options.json:
        sys.stdout.write(f"{target / TABLE}: {totals}\n")
    if totals.failed:
        raise SeglineError(f"{source}: {totals.failed} images have no answer; {target / TABLE} says why")


def _images_in(paths: Sequence[Path]) -> list[Path]:
    """The images of a folder that is no DICOM series; none if it is one, or if these are files."""
    from segline.data.declarations.class_folders import images_of

    return sorted(images_of(paths[0])) if len(paths) == 1 and paths[0].is_dir() else []


@contextmanager
def _named(image: Path) -> Iterator[None]:
    """Say which of several images it is that cannot be answered."""
    try:
        yield
    except SeglineError as error:
        raise SeglineError(f"{image}: {error}") from error


def _tell(options: argparse.Namespace, answers: "Answers", replies: "Mapping[Path, Reply]") -> None:
    """One line an image, in words or as JSON."""
    for image, reply in replies.items():
        if options.json:
            told = {answers.noun: str(options.output), answers.measure: answers.measured(reply.answer)}
            which = {"image": str(image)} if len(replies) > 1 else {}
            said = {"remarks": list(reply.remarks), "trust": reply.trust}
            sys.stdout.write(json.dumps({**which, **told, **said}) + "\n")
            continue
        named = image if len(replies) > 1 else options.output
        sys.stdout.write(f"{named}: {answers.told(reply.answer)}\n")
        sys.stderr.writelines(f"segline predict: {image}: {line}\n" for line in reply.warnings)
