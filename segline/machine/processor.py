"""The processor: what it is called, in which floats it is quick, and how many of its threads compute."""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path


def processor_name() -> str:
    """The model of the CPU, as the system calls it; its architecture where the system does not say."""
    return _facts().get("model name") or platform.processor() or platform.machine()


def has_fast_bfloat16() -> bool:
    """Whether this CPU computes in bfloat16 faster than in float32: by AMX, or by AVX-512 of an AMD.

    On two cores of an EPYC steps of the hippocampus's network take half the time, of one that starts at
    half resolution three quarters. On a Xeon of which a virtual machine hides AMX, AVX-512 does convolutions
    in bfloat16 at little more than half the speed of float32, and those steps take 1.4 times as long.
    """
    facts = _facts()
    flags = facts.get("flags", "").split()
    by_avx512 = "avx512_bf16" in flags and facts.get("vendor_id") != "GenuineIntel"
    return "amx_bf16" in flags or by_avx512


def threads_asked() -> int:
    """With how many threads PyTorch computes, if it is in use here; else ``OMP_NUM_THREADS``.

    0, which to ONNX Runtime and OpenVINO means their own choice, where nobody has said anything.
    """
    if torch := sys.modules.get("torch"):
        return int(torch.get_num_threads())
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() else 0


def ask_for_threads(count: int) -> None:
    """Let whatever computes in this process from now on do so with that many threads; 0 changes nothing."""
    if not count:
        return
    os.environ["OMP_NUM_THREADS"] = str(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


def _facts() -> Mapping[str, str]:
    """What Linux tells of the first processor; nothing on other systems."""
    try:
        first, _, _ = Path("/proc/cpuinfo").read_text().partition("\n\n")
    except OSError:
        return {}
    lines = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
