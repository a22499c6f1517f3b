"""The pyfunc: a registered model as MLflow loads it, from files of volumes to files of answers.

Lies in the registered model with the rest of segline, and runs where segline was never installed: with
:func:`segline.registry.pyfunc.requirements` alone, so without PyTorch and MONAI: what is run is the exported
graph.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segline.common.errors import SeglineError
from segline.imaging.files import read_channels
from segline.imaging.volume import Volume
from segline.kinds import kind_of
from segline.model.package import Model
from segline.registry.pyfunc import DEFAULTS
from segline.serving.models.served import Served

if TYPE_CHECKING:
    import pandas


class AnswerWriter:
    """Reads volumes and writes their answers, such as masks."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._answers = kind_of(model.plan.kind).answers
        self._opened: dict[tuple[str, str], Served] = {}

    def predict(
        self, model_input: "pandas.DataFrame", params: Mapping[str, Any] | None = None
    ) -> "pandas.DataFrame":
        """Write one answer a row.

        Args:
            model_input: ``image``, a file with all channels, a folder with a DICOM series, or a list
                of them, one a channel in the order of the plan; and, called as an answer is, ``mask``, the
                file to write, ``.nii``, ``.nii.gz`` or ``.nrrd``.
            params: ``backend`` and ``device``, as in :data:`~segline.registry.pyfunc.DEFAULTS`.

        Returns:
            ``mask`` as given; a number of each, ``labelled_voxels``: those that are not background; and
            ``remarks``, what looks wrong about the volume, if anything, and why its answer should not be
            trusted.

        Raises:
            SeglineError: a file cannot be read or written, or the backend cannot run here.
        """
        import pandas

        chosen, answers = {**DEFAULTS, **(params or {})}, self._answers
        served = self._served(chosen["backend"], chosen["device"])
        paths = [self._path(name) for name in model_input[answers.noun]]
        written = []
        for image, path in zip(model_input["image"], paths, strict=True):
            reply = served.reply(_volume(image))
            answers.write(path, reply.answer)
            written.append((str(path), answers.measured(reply.answer), "; ".join(reply.warnings)))
        columns = [answers.noun, answers.measure, "remarks"]
        return pandas.DataFrame(written, columns=columns, index=model_input.index)

    def _served(self, backend: str, device: str) -> Served:
        if (backend, device) not in self._opened:
            self._opened[backend, device] = Served(self._model, "", backend, device).opened()
        return self._opened[backend, device]

    def _path(self, name: str) -> Path:
        suffixes = self._answers.suffixes
        if not name.endswith(suffixes):
            raise SeglineError(f"{name}: a {self._answers.noun}'s file must end in {' or '.join(suffixes)}")
        return Path(name)


def _volume(image: str | Iterable[str]) -> Volume:
    return read_channels([Path(image)] if isinstance(image, str) else [Path(channel) for channel in image])


def _load_pyfunc(path: str) -> AnswerWriter:
    """What MLflow calls with the folder of the package."""
    return AnswerWriter(Model.open(Path(path)))
