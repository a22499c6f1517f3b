"""Build the images, name them by what they are built from, and write down where the compiler finds them."""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.resources import DIGESTS
from segline import __version__
from segline.common import atomic
from segline.common.digests import sha256_of_file, sha256_of_json
from segline.common.errors import SeglineError, UnavailableError
from segline.stages.source_commit import source_commit

ROOT = Path(__file__).parents[1]
IMAGES: Mapping[str, tuple[str, ...]] = {
    "none": ("base", "serve"),
    "nvidia": ("base", "serve", "gpu", "tensorrt"),
}
"""What is needed for this kind of accelerator."""
INPUTS = ("LICENSE", "pyproject.toml", "requirements.txt", ".dockerignore", "images", "segline")
"""The files and folders that images are built from."""
VERSION_LABEL = "org.opencontainers.image.version"
_NOT_BUILT_FROM = (f"images/{DIGESTS.name}", "images/README.md")
_NOT_OFFERED = re.compile(r"No matching distribution found for (\S+)")
_NAME_DIGITS = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the images that were asked for; 0, or 2 after a one-line error."""
    options = _parser().parse_args(arguments)
    build = Build(content_tag(), source_commit(ROOT), options.registry, options.docker)
    try:
        _answer("version", "--format", "{{.Server.Version}}")
        references = build.each(options.image) if options.image else build.all(IMAGES[options.accelerator])
        write_references(dict(references), DIGESTS)
    except SeglineError as error:
        sys.stderr.write(f"segline: {error}\n")
        return 2
    return 0


def content_tag(root: Path = ROOT) -> str:
    """The version, and the start of the digest of everything that images are built from."""
    given = [path for name in INPUTS for path in (root / name, *(root / name).rglob("*"))]
    names = {
        path.relative_to(root).as_posix(): path
        for path in given
        if path.is_file() and "__pycache__" not in path.parts
    }
    files = {name: sha256_of_file(path) for name, path in names.items() if name not in _NOT_BUILT_FROM}
    return f"{__version__}-{sha256_of_json(files)[:_NAME_DIGITS]}"


@dataclass(frozen=True)
class Build:
    """One build of images.

    Attributes:
        tag: version and content, the same for all images.
        commit: of the checkout.
        registry: where images are pushed to; they stay here where it is empty.
        more: further arguments of ``docker build``.
    """

    tag: str
    commit: str
    registry: str
    more: Sequence[str]

    def all(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Each name and its reference, but those whose packages cannot be had from here: a line says which.

        Raises:
            SeglineError: as :meth:`image`.
        """
        for name in names:
            try:
                yield name, self.image(name)
            except UnavailableError as reason:
                sys.stdout.write(f"{name}: skipped: {reason}\n")

    def each(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Each name and its reference.

        Raises:
            SeglineError: as :meth:`image`.
        """
        return ((name, self.image(name)) for name in names)

    def image(self, name: str) -> str:
        """Build an image unless it is there already; its reference.

        Raises:
            UnavailableError: no package index in reach has one of its packages.
            SeglineError: there is no Docker, or it fails.
        """
        started, local = time.monotonic(), f"segline-{name}:{self.tag}"
        there = _docker("image", "inspect", local).returncode == 0
        if not there:
            self._build(name, local)
        size_gb = int(_answer("image", "inspect", "--format", "{{.Size}}", local)) / 1e9
        reference = self._pushed(local) if self.registry else local
        told = "was there" if there else f"built in {time.monotonic() - started:.0f} s"
        sys.stdout.write(f"{name}: {reference}, {size_gb:.2f} GB, {told}\n")
        return reference

    def _build(self, name: str, local: str) -> None:
        labels = {"org.opencontainers.image.revision": self.commit, VERSION_LABEL: self.tag}
        command = ["build", "--file", "images/Dockerfile", "--target", name, "--tag", local]
        command += ["--tag", f"segline-{name}:{__version__}"]
        command += [f"--label={key}={value}" for key, value in labels.items()]
        output = []
        with _started(*command, *self.more, ".") as process:
            for line in process.stdout or ():
                sys.stdout.write(line)
                output.append(line)
        if process.returncode == 0:
            return
        if missing := _NOT_OFFERED.search("".join(output)):
            raise UnavailableError(f"no package index in reach has {missing[1]} as it is needed")
        raise SeglineError(f"{name}: docker build failed with status {process.returncode}; see above")

    def _pushed(self, local: str) -> str:
        """By digest, which nobody can move."""
        remote = f"{self.registry}/{local}"
        _answer("tag", local, remote)
        _answer("push", "--quiet", remote)
        digests = json.loads(_answer("image", "inspect", "--format", "{{json .RepoDigests}}", remote))
        repository = remote.rpartition(":")[0]
        digest = next(found for found in digests if found.startswith(f"{repository}@")).partition("@")[2]
        return f"{remote}@{digest}"


def write_references(references: Mapping[str, str], path: Path) -> None:
    """Add references to the file that the compiler reads."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    atomic.write_text(path, json.dumps({**known, **references}, indent=1) + "\n")


def _answer(*arguments: str) -> str:
    done = _docker(*arguments)
    if done.returncode != 0:
        told = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise SeglineError(f"docker {arguments[0]}: {told[-1]}")
    return done.stdout.strip()


def _docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    with _started(*arguments, stderr=subprocess.PIPE) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def _started(*arguments: str, stderr: int = subprocess.STDOUT) -> "subprocess.Popen[str]":
    try:
        return subprocess.Popen(
            ["docker", *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    except FileNotFoundError as error:
        raise SeglineError("docker: not installed; see https://docs.docker.com/engine/install") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.images", description=__doc__)
    parser.add_argument(
        "image", nargs="*", help=f"{', '.join(IMAGES['nvidia'])}; all that can be had by default"
    )
    parser.add_argument(
        "--accelerator", choices=IMAGES, default="nvidia", help="none leaves out gpu, tensorrt"
    )
    parser.add_argument("--registry", default="", help="push there and refer to the images by digest")
    parser.add_argument(
        "--docker", action="append", default=[], metavar="ARGUMENT", help="of docker build, such as --pull"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
