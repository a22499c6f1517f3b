"""Documents: what a stage leaves for the next as one readable JSON file."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from segline.common import atomic
from segline.common.errors import SeglineError
from segline.plan.task import first_fault


class Document(BaseModel):
    """A frozen record kept as one JSON file."""

    model_config = ConfigDict(frozen=True)

    kind: ClassVar[str]
    """What errors call it, with its article: ``a verdict``."""
    stage: ClassVar[str]
    """The stage that writes it, which errors tell to run."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what :meth:`write` wrote.

        Raises:
            SeglineError: no such file, or not such a document.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise SeglineError(f"{path}: cannot be read ({error.strerror}); run {cls.stage} first") from error
        except ValidationError as error:
            problem = f"{path}: not {cls.kind}, {first_fault(error)}; run {cls.stage} again"
            raise SeglineError(problem) from error

    def write(self, path: Path) -> None:
        """Write as JSON, atomically."""
        atomic.write_text(path, self.model_dump_json(indent=2) + "\n")
