import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from segline.common.errors import SeglineError
from segline.machine import abilities, devices, memory, nvidia, processor

pytestmark = pytest.mark.heavy

CPU = torch.device("cpu")
TOTAL_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cgroup(folder: Path, limit: str, used: int, stat: str) -> Path:
    for name, content in (("max", limit), ("current", str(used)), ("stat", stat)):
        (folder / f"memory.{name}").write_text(f"{content}\n")
    return folder


def test_the_available_memory_is_positive_and_below_what_there_is() -> None:
    assert 0 < memory.available_bytes("cpu") < TOTAL_BYTES


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    assert memory._cgroup_available(cgroup(tmp_path, "1000", 300, "anon 300")) == [700]


def test_files_that_the_kernel_keeps_in_memory_are_available(tmp_path: Path) -> None:
    stat = "anon 300\nfile 650\ninactive_anon 5\ninactive_file 600\nactive_file 50"
    assert memory._cgroup_available(cgroup(tmp_path, "1000", 950, stat)) == [650]


def test_a_container_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    assert memory._cgroup_available(cgroup(tmp_path, "1000", 1100, "anon 1100")) == [0]


def test_a_container_without_a_limit_does_not_count(tmp_path: Path) -> None:
    assert memory._cgroup_available(cgroup(tmp_path, "max", 300, "anon 300")) == []


def test_a_machine_without_cgroups_is_no_container(tmp_path: Path) -> None:
    assert memory._cgroup_available(tmp_path / "absent") == []


def test_every_ability_has_a_version_or_a_reason() -> None:
    found = abilities.abilities()
    assert [ability.name for ability in found][:3] == ["host", "torch", "cuda"]
    assert {"tensorrt", "onnxruntime CPU"} <= {ability.name for ability in found}
    for ability in found:
        assert ability.detail.strip(), ability.name
        assert "\n" not in ability.detail
        assert ability.available or len(ability.detail.split()) > 3, ability


def test_what_torch_can_use_is_what_is_told() -> None:
    told = {ability.name: ability.available for ability in abilities.abilities()}
    assert told["host"] is told["torch"] is True
    assert told["cuda"] == torch.cuda.is_available()
    assert devices.default_device() == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_missing_package_is_an_ability_with_a_reason_and_not_a_crash() -> None:
    script = (
        "import sys\n"
        "sys.modules['onnxruntime'] = None\n"
        "from segline.machine.abilities import abilities\n"
        "print([(a.available, a.detail) for a in abilities() if a.name == 'onnxruntime'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[(False, ")
    assert "onnxruntime" in done.stdout


def test_a_missing_driver_is_a_reason() -> None:
    missing = nvidia.nvidia_driver_missing()
    if torch.cuda.is_available():
        assert missing is None
    else:
        assert missing is None or missing.startswith("no NVIDIA GPU: ")


def test_cpu_is_a_usable_device() -> None:
    assert devices.usable_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "meta", "mps"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(SeglineError, match=rf"device '{name}': .*give cpu, cuda or cuda:<number>"):
        devices.usable_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_refused_with_the_reason() -> None:
    with pytest.raises(SeglineError, match=r"device cuda: .+; use cpu"):
        devices.usable_device("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_a_gpu_beyond_the_last_is_refused() -> None:
    assert devices.usable_device("cuda").type == "cuda"
    with pytest.raises(SeglineError, match=r"device cuda:99: this machine has \d+ GPUs"):
        devices.usable_device("cuda:99")


def test_the_processor_has_a_name() -> None:
    name = processor.processor_name()
    assert name
    if "model name" in Path("/proc/cpuinfo").read_text():
        assert len(name.split()) > 1


def test_the_peak_memory_is_that_of_this_process() -> None:
    before = memory.peak_memory_bytes()
    assert 2**26 < before < TOTAL_BYTES
    block = bytearray(before + 2**26)
    block[::4096] = b"1" * len(block[::4096])
    assert memory.peak_memory_bytes() > before


FAULTS = """
import resource, sys
import numpy as np
from segline.machine.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def work():
    for _ in range(50):
        [np.ones(2**22) for _ in range(2)]
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_used_again_without_a_page_fault() -> None:
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True).stdout)
        for how in ("keep", "plain")
    }
    assert faults["keep"] < faults["plain"] / 10


def test_a_container_of_the_first_cgroups_has_a_limit_too(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/memory.limit_in_bytes").write_text("1000\n")
    (tmp_path / "memory/memory.usage_in_bytes").write_text("950\n")
    (tmp_path / "memory/memory.stat").write_text("cache 700\ntotal_inactive_file 600\n")
    assert memory.limit_bytes(tmp_path) == 1000
    assert memory._cgroup_available(tmp_path) == [650]
    (tmp_path / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory.limit_bytes(tmp_path) is None
    assert memory._cgroup_available(tmp_path) == []


@pytest.mark.parametrize(
    ("cpu", "is_faster"),
    [
        ({"vendor_id": "AuthenticAMD", "flags": "sse2 avx512_bf16"}, True),
        ({"vendor_id": "GenuineIntel", "flags": "avx512_bf16 amx_bf16"}, True),
        ({"vendor_id": "GenuineIntel", "flags": "avx512_bf16"}, False),
        ({"vendor_id": "GenuineIntel", "flags": "avx2"}, False),
        ({"Features": "fp asimd"}, False),
        ({}, False),
    ],
)
def test_sixteen_bits_only_where_a_cpu_is_faster_in_them(
    cpu: dict[str, str], is_faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "_facts", lambda: cpu)
    assert processor.has_fast_bfloat16() is is_faster
    assert devices.half_precision(CPU) is (torch.bfloat16 if is_faster else None)
    assert devices.half_precision(torch.device("cuda")) is torch.float16


def test_what_linux_tells_of_the_processor_is_what_torch_sees() -> None:
    seen, flags = torch.cpu.get_capabilities(), processor._facts().get("flags", "").split()
    for flag in ("avx512_bf16", "amx_bf16"):
        assert not seen.get(flag) or flag in flags


def test_runtimes_compute_in_as_many_threads_as_torch_or_as_they_are_told() -> None:
    assert processor.threads_asked() == torch.get_num_threads()
    script = "from segline.machine.processor import threads_asked; print(threads_asked())"
    for told, threads in (("3", "3"), ("", "0"), ("all", "0")):
        environment = {**os.environ, "OMP_NUM_THREADS": told}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
        assert done.stdout.strip() == threads
