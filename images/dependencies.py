"""Which packages an image needs, from the extras of pyproject.toml, at the versions of requirements.txt.

python dependencies.py build                        what builds the code
python dependencies.py list cpu onnx openvino       what pip is to install
pip freeze | python dependencies.py check FILE ...  fails on a package that no FILE pins
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


def main(arguments: Sequence[str]) -> int:
    """Print a list, or what is not pinned; 1 if anything is not."""
    command, *rest = arguments
    if command != "check":
        project = Project.read(Path())
        sys.stdout.write("\n".join(project.build if command == "build" else project.listed(*rest)) + "\n")
        return 0
    loose = unpinned(sys.stdin.read().splitlines(), [Path(name) for name in rest])
    if loose:
        sys.stderr.write(f"no exact version is given anywhere for {', '.join(loose)}\n")
    return 1 if loose else 0


@dataclass(frozen=True)
class Project:
    """What the project says it needs."""

    build: list[str]
    """To be built."""
    own: list[str]
    """To run."""
    extras: Mapping[str, list[str]]
    """To do more."""
    versions: Mapping[str, str]
    """Which of each."""

    @classmethod
    def read(cls, folder: Path) -> "Project":
        """From ``pyproject.toml`` and ``requirements.txt``."""
        told = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        project, versions = told["project"], pinned([folder / "requirements.txt"])
        return cls(
            told["build-system"]["requires"],
            project["dependencies"],
            project["optional-dependencies"],
            versions,
        )

    def listed(self, kind: str, *extras: str) -> list[str]:
        """The project's own dependencies and those of ``extras``, pinned; torch first, for CPUs or CUDA.

        ``===`` asks for exactly this build: by itself, pip takes the one without CUDA to be the newer one.
        """
        wanted = [*self.own, *(requirement for extra in extras for requirement in self.extras[extra])]
        exact = {name: self.versions[name] for name in map(_name, wanted)}
        build = "+cpu" if kind == "cpu" else ""
        torch = [f"torch==={exact.pop('torch')}{build}"] if "torch" in exact else []
        if kind == "cuda" and "onnxruntime" in exact:
            exact["onnxruntime-gpu"] = exact.pop("onnxruntime")
        return [*torch, *(f"{name}=={version}" for name, version in exact.items())]


def unpinned(installed: Iterable[str], files: Iterable[Path]) -> list[str]:
    """Of the lines of ``pip freeze``, those that say another version than ``files``, or are not in them."""
    versions = pinned(files)
    return [line for line in installed if versions.get(_name(line)) != _version(line)]


def pinned(files: Iterable[Path]) -> dict[str, str]:
    """Every package with an exact version in ``files``, by its name."""
    return dict(_pins(line for path in files for line in path.read_text(encoding="utf-8").splitlines()))


def _pins(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if "==" in line and not line.startswith("#"):
            yield _name(line), line.partition("==")[2].strip()


def _version(line: str) -> str:
    """Without the part that tells one build of torch from another."""
    return line.partition("==")[2].partition("+")[0]


def _name(requirement: str) -> str:
    """As indexes compare names."""
    found = _NAME.match(requirement)
    if not found:
        raise SystemExit(f"{requirement!r}: not a requirement")
    return re.sub(r"[-_.]+", "-", found[0]).lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
