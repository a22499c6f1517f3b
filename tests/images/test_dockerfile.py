"""What every image must keep to, read from the Dockerfiles themselves."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cluster.footprint import STAGES
from pipelines.images import IMAGES, ROOT
from pipelines.resources import USER_ID

OWN = ROOT / "images" / "Dockerfile"
ALL = [OWN, *sorted((ROOT / "manifests/images").glob("*.Dockerfile"))]
TAGGED_IMAGE = re.compile(r"[\w./-]+:(?!latest$)[\w.-]+(@sha256:[0-9a-f]{64})?")
SECRET = re.compile(
    r"(PASSWORD|SECRET|TOKEN|ACCESS_KEY|CREDENTIAL)\w*\s*[= ]|://[^/\s:$]+:[^@\s$]+@", re.IGNORECASE
)

Instruction = tuple[str, str]


def instructions(path: Path) -> list[Instruction]:
    """Every instruction and what follows it, continued lines joined, in order."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (word, rest)
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def stages(path: Path) -> dict[str, list[Instruction]]:
    """The instructions of each stage, those of the stages that it is built on before its own."""
    found: dict[str, list[Instruction]] = {}
    name = ""
    for word, rest in instructions(path):
        if word == "FROM":
            base, _, given = rest.partition(" AS ")
            name = given or "final"
            found[name] = list(found.get(base, []))
        if name:
            found[name].append((word, rest))
    return found


def arguments_of(path: Path) -> dict[str, str]:
    """The build arguments and their defaults."""
    given = [rest.partition("=") for word, rest in instructions(path) if word == "ARG"]
    return {name: default for name, _, default in given}


def told(path: Path) -> str:
    """How a test's name says which file."""
    return path.name


def test_every_image_that_is_built_has_a_target() -> None:
    assert set(IMAGES["nvidia"]) <= stages(OWN).keys()


def test_every_image_that_a_stage_asks_for_is_built() -> None:
    assert {"base", *(given.gpu_image for given in STAGES.values())} <= set(IMAGES["nvidia"])


@pytest.mark.parametrize("path", ALL, ids=told)
def test_every_image_it_starts_from_has_a_tag_of_its_own(path: Path) -> None:
    own, defaults = stages(path), arguments_of(path)
    for word, rest in instructions(path):
        base = rest.partition(" AS ")[0]
        if word == "FROM" and base not in own:
            argument = re.fullmatch(r"\$\{(\w+)\}", base)
            assert TAGGED_IMAGE.fullmatch(defaults[argument[1]] if argument else base), base


@pytest.mark.parametrize("name", IMAGES["nvidia"])
def test_every_image_runs_as_a_user_that_kubernetes_can_tell_from_root(name: str) -> None:
    users = [rest for word, rest in stages(OWN)[name] if word == "USER"]
    assert users[-1] == f"{USER_ID}:{USER_ID}"


@pytest.mark.parametrize("path", ALL, ids=told)
def test_no_image_runs_as_root(path: Path) -> None:
    last = list(stages(path).values())[-1]
    uid, _, gid = [rest for word, rest in last if word == "USER"][-1].partition(":")
    assert int(uid) > 0 and int(gid) > 0


@pytest.mark.parametrize("path", ALL, ids=told)
def test_nothing_is_added_from_an_address(path: Path) -> None:
    assert not [rest for word, rest in instructions(path) if word == "ADD"]
    assert not re.search(r"curl|wget", path.read_text())


@pytest.mark.parametrize("path", ALL, ids=told)
def test_any_builder_can_build_it(path: Path) -> None:
    """Docker's older one knows no mounts and no here-documents, and not every machine has the newer one."""
    assert not re.search(r"--mount|--link|<<", path.read_text())


@pytest.mark.parametrize("path", ALL, ids=told)
def test_no_secret_is_in_it(path: Path) -> None:
    assert not SECRET.search(path.read_text())


@pytest.mark.parametrize("name", IMAGES["nvidia"])
def test_the_code_is_the_last_thing_to_come_in(name: str) -> None:
    layers = [rest for word, rest in stages(OWN)[name] if word in ("RUN", "COPY", "ADD")]
    assert layers[-1] == "--from=code /code /opt/segline"
    assert sum("/code" in layer for layer in layers) == 1


def test_a_change_of_the_code_leaves_the_dependencies_in_the_cache() -> None:
    for name, own in stages(OWN).items():
        if name.endswith("dependencies") or name == "environment":
            copied = [rest for word, rest in own if word == "COPY"]
            assert not any(re.search(r"\bsegline\b|\. ", rest) for rest in copied), name


@pytest.mark.parametrize("name", ["gpu", "tensorrt"])
def test_the_images_for_gpus_share_their_largest_layer(name: str) -> None:
    assert ("COPY", "--from=gpu-dependencies /opt/segline /opt/segline") in stages(OWN)[name]


def test_pip_keeps_no_cache_and_takes_no_other_version() -> None:
    (call,) = re.findall(r"pip .*\binstall\b.*", (ROOT / "images/install").read_text())
    assert "--no-cache-dir" in call and "--constraint requirements.txt" in call


def test_the_context_holds_only_what_images_are_made_of() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert allowed == {"LICENSE", "pyproject.toml", "requirements.txt", "images", "segline"}


def test_the_compiled_digests_are_not_committed() -> None:
    assert "/images/digests.json" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("path", ALL, ids=told)
def test_the_linter_finds_nothing(path: Path) -> None:
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, "--failure-threshold", "warning", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_shell_linter_finds_nothing() -> None:
    shellcheck = shutil.which("shellcheck", path=Path(sys.executable).parent) or shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([shellcheck, ROOT / "images/install"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("mirror", [False, True], ids=["its own index", "a mirror of PyPI"])
def test_torch_comes_from_the_index_that_is_named_in_the_build_that_it_has(
    mirror: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyproject.toml", "requirements.txt", "images/dependencies.py", "images/gpu.txt"):
        shutil.copy(ROOT / name, tmp_path)
    calls, pip = tmp_path / "calls", tmp_path / "pip"
    refused = 'case "$*" in *+cpu*) exit 1 ;; esac' if mirror else ":"
    pip.write_text(f'#!/bin/sh\necho "$@" >>{calls}\n{refused}\n')
    pip.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("TORCH_INDEX", "https://index.test/simple")
    done = subprocess.run(
        ["bash", ROOT / "images/install", "cpu", "train", "onnx"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    torch = [call for call in calls.read_text().splitlines() if "torch===" in call]
    listed = (tmp_path / "list.txt").read_text().splitlines()[0]
    if mirror:
        assert "no torch without CUDA" in done.stderr and not listed.endswith("+cpu")
        assert [("--extra-index-url" in call, "+cpu" in call) for call in torch] == [
            (True, True),
            (False, False),
        ]
        assert "--index-url https://index.test/simple" in torch[1]
    else:
        assert len(torch) == 1 and listed.endswith("+cpu")
