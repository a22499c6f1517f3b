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

DICOM = ".dcm"
BACKEND_HELP = "pytorch (default), onnxruntime, openvino, openvino_int8 or tensorrt"


def add_predict(commands: Any) -> argparse.ArgumentParser:
    """The parser of ``predict``, with all but what it shares with the other readers of the registry."""
    predict: argparse.ArgumentParser = commands.add_parser(
        "predict", help="segment one volume, or what else the model is for"
    )
    predict.add_argument("model", help="model package, folder of a run, or reference as for pull")
    predict.add_argument(
        "image",
        type=Path,
        nargs="+",
        help="a file, or a DICOM folder; one a channel, or all; of classes also a folder of images",
    )
    predict.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="what to write; a mask is .nii, .nii.gz or .nrrd, or .dcm of DICOM; classes are .json or .csv",
    )
    predict.add_argument("--fractional", action="store_true", help="into .dcm write how probable labels are")
    predict.add_argument("--sr", type=Path, help="beside .dcm, write volumes in ml as DICOM-SR to this file")
    predict.add_argument("--backend", default="pytorch", help=BACKEND_HELP)
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
    place = next(parent for parent in path.absolute().parents if parent.exists())
    if not place.is_dir():
        raise SeglineError(f"{place}: is a file, and no folder to write {path.name} into")
    if not os.access(place, os.W_OK | os.X_OK):
        raise SeglineError(f"{place}: permission denied; write the {noun} elsewhere")


def _predict(options: argparse.Namespace) -> None:
    from segline.backends import open_backend
    from segline.imaging.files import read_channels
    from segline.inference.doubts import doubts
    from segline.kinds import kind_of
    from segline.model.identification import algorithm_of
    from segline.plan import Plan

    model, version = chosen_version(options)
    answers = kind_of(model.plan.kind).answers
    if options.plan:
        model.require_plan(Plan.read(options.plan), options.plan)
    require_output(options.output, options.image, answers)
    source = _source(options)
    several = _images_in(options.image) if answers.write_table else []
    predictor = answers.predictor(model.plan, open_backend(options.backend, model, options.device))
    found, odd = {}, {}
    for images in [[image] for image in several] or [options.image]:
        volume = read_channels(images)
        with _named(images[0]) if several else nullcontext():
            found[images[0]], made = _answered(predictor, volume, options.fractional)
            odd[images[0]] = doubts(model.plan, volume)
    if source and answers.write_dicom:
        algorithm = algorithm_of(model, options.backend, version)
        answers.write_dicom(options.output, made, source, model.plan, algorithm, options.sr)
    elif several and answers.write_table:
        answers.write_table(options.output, {image.name: answer for image, answer in found.items()})
    else:
        answers.write(options.output, *found.values())
    _tell(options, answers, found, odd)


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


def _answered(predictor: Any, volume: "Volume", fractional: bool) -> tuple[Any, Any]:
    """The answer, and what is written of it: itself, or how probable each of its labels is."""
    if not fractional:
        answer = predictor(volume)
        return answer, answer
    leads = predictor.leads(volume)
    shares = predictor.shares(leads)
    return predictor.mask(leads), shares


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


def _tell(
    options: argparse.Namespace,
    answers: "Answers",
    found: Mapping[Path, Any],
    odd: Mapping[Path, Sequence[str]],
) -> None:
    """One line an image, in words or as JSON."""
    for image, answer in found.items():
        if options.json:
            told = {answers.noun: str(options.output), answers.measure: answers.measured(answer)}
            which = {"image": str(image)} if len(found) > 1 else {}
            sys.stdout.write(json.dumps({**which, **told, "remarks": odd[image]}) + "\n")
            continue
        sys.stdout.write(f"{image if len(found) > 1 else options.output}: {answers.told(answer)}\n")
        sys.stderr.writelines(f"segline predict: {image}: {remark}\n" for remark in odd[image])
