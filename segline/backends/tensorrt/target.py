"""The target: what an engine is tied to. It runs nowhere else."""

import platform

from pydantic import BaseModel, ConfigDict

from segline.backends.tensorrt.flavour import Flavour, FlavourName
from segline.common.errors import UnavailableError
from segline.common.wording import counted
from segline.machine.devices import as_device
from segline.machine.nvidia import nvidia_driver_missing, nvidia_driver_version


class Target(BaseModel):
    """A GPU, its driver and a TensorRT."""

    model_config = ConfigDict(frozen=True)

    flavour: FlavourName
    version: str
    """Of TensorRT."""
    system: str
    """Operating system and processor architecture: ``Linux x86_64``."""
    architecture: str
    """Compute capability of the GPU: ``sm_90``."""
    gpu: str | None = None
    driver: str | None = None
    cuda: str | None = None
    """These three are ``None`` for an engine that was built without a GPU, and is tied to none."""

    @classmethod
    def here(cls, device: str = "cuda", flavour: Flavour | None = None) -> "Target":
        """This machine's GPU.

        Raises:
            UnavailableError: no NVIDIA GPU can be used here, or no TensorRT is installed.
        """
        if missing := nvidia_driver_missing():
            raise UnavailableError(missing)
        import torch

        if not torch.cuda.is_available():
            raise UnavailableError(
                "tensorrt: this build of torch cannot use the NVIDIA GPU; see segline check"
            )
        number, installed = as_device(device).number or 0, flavour or Flavour.installed()
        if number >= torch.cuda.device_count():
            raise UnavailableError(
                f"tensorrt: there is no {device}, only {counted(torch.cuda.device_count(), 'GPU')}"
            )
        major, minor = torch.cuda.get_device_capability(number)
        return cls(
            flavour=installed.name,
            version=installed.version,
            system=_system(),
            architecture=f"sm_{major}{minor}",
            gpu=torch.cuda.get_device_name(number),
            driver=nvidia_driver_version(),
            cuda=torch.version.cuda,
        )

    @classmethod
    def without_gpu(cls, architecture: str) -> "Target":
        """GPUs of an ``architecture`` that this machine need not have; TensorRT-RTX builds for them.

        Raises:
            UnavailableError: TensorRT-RTX is not installed.
        """
        rtx = Flavour.installed("tensorrt_rtx")
        return cls(flavour=rtx.name, version=rtx.version, system=_system(), architecture=architecture)

    @property
    def timing_cache(self) -> str:
        """Name of the file in which a store keeps what TensorRT has timed for such a target."""
        return f"{self.flavour}-{self.version}-{self.architecture}.timing"


_NAMES = {
    "flavour": "TensorRT flavour",
    "version": "TensorRT",
    "system": "system",
    "architecture": "GPU architecture",
    "gpu": "GPU",
    "driver": "NVIDIA driver",
    "cuda": "CUDA",
}


def difference(built: Target, here: Target) -> str | None:
    """The first thing in which two targets differ, in words; ``None`` if an engine for one runs on the other.

    >>> built = Target(flavour="tensorrt", version="10.16", system="Linux x86_64", architecture="sm_90")
    >>> difference(built, built.model_copy(update={"version": "11.0"}))
    'built for TensorRT 10.16, here is 11.0'
    """
    for field, name in _NAMES.items():
        wanted, present = getattr(built, field), getattr(here, field)
        if wanted is not None and wanted != present:
            return f"built for {name} {wanted}, here is {present}"
    return None


def _system() -> str:
    return f"{platform.system()} {platform.machine()}"
