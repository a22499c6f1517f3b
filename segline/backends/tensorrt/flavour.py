"""TensorRT comes in two flavours with one Python interface: the full library, and TensorRT-RTX."""

import importlib
import warnings
from dataclasses import dataclass
from typing import Any, Literal

from segline.common.errors import SeglineError, UnavailableError
from segline.machine.nvidia import nvidia_driver_missing

FlavourName = Literal["tensorrt", "tensorrt_rtx"]
FLAVOURS: tuple[FlavourName, ...] = ("tensorrt", "tensorrt_rtx")
"""The preferred one first: TensorRT-RTX knows no data centre GPU."""


@dataclass(frozen=True)
class Flavour:
    """An imported TensorRT."""

    name: FlavourName
    module: Any

    @classmethod
    def installed(cls, name: FlavourName | None = None) -> "Flavour":
        """The flavour ``name``, or the preferred one of those installed.

        Raises:
            UnavailableError: none can be imported.
        """
        reasons = []
        for wanted in FLAVOURS if name is None else (name,):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return cls(wanted, importlib.import_module(wanted))
            except Exception as error:  # a broken installation may raise anything
                reasons.append(f"{wanted} cannot be imported ({error})")
        raise UnavailableError(f"{', '.join(reasons)}; pip install tensorrt, or tensorrt-rtx for an RTX GPU")

    @property
    def version(self) -> str:
        """Of the library."""
        return str(self.module.__version__)

    @property
    def network_flags(self) -> int:
        """Flags of a strongly typed network; from version 11 on, and in TensorRT-RTX, there is no other."""
        typed = int(self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        return 1 << typed if self.name == "tensorrt" and self.version.split(".")[0] == "10" else 0

    @property
    def needs_gpu_to_build(self) -> bool:
        """TensorRT times kernels on the GPU; TensorRT-RTX leaves the choice to the machine that runs them."""
        return self.name == "tensorrt"

    def logger(self) -> Any:
        """A TensorRT logger that is silent, and keeps the error messages in ``errors``."""
        severity = self.module.ILogger.Severity

        class Errors(self.module.ILogger):  # type: ignore[name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.errors: list[str] = []

            def log(self, level: Any, message: str) -> None:
                if level in (severity.ERROR, severity.INTERNAL_ERROR):
                    self.errors.append(message)

        return Errors()

    def runtime(self, logger: Any) -> Any:
        """What loads engines.

        Raises:
            UnavailableError: there is no NVIDIA driver, without which constructing one can end the process.
        """
        if missing := nvidia_driver_missing():
            raise UnavailableError(missing)
        return self.module.Runtime(logger)

    def deserialized(self, content: bytes, runtime: Any, name: str) -> Any:
        """The engine ``content``, on the current CUDA device.

        Raises:
            SeglineError: TensorRT refuses it; ``name`` says which.
        """
        engine = runtime.deserialize_cuda_engine(content)
        if engine is None:
            raise SeglineError(f"{name}: {self.name} {self.version} cannot load it; run build_tensorrt again")
        return engine
