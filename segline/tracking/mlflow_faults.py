"""What an error of MLflow's means: that it refuses, or that nobody answered."""

from collections.abc import Iterator

from segline.common.errors import SeglineError


class LostError(SeglineError):
    """The other side did not answer in the middle of the work, or was locked; it may the next time.

    Attributes:
        waited_s: for the answer that did not come.
    """

    waited_s: float = 0.0


def is_locked(error: BaseException) -> bool:
    """Whether SQLite gave up waiting for another process; nothing was written then."""
    return any(
        type(cause).__name__ == "OperationalError" and "is locked" in str(cause) for cause in _causes(error)
    )


def no_answer(error: BaseException) -> BaseException | None:
    """Why there was none from a server, or only that it fails; ``None`` where it did answer."""
    from requests import exceptions  # type: ignore[import-untyped]  # MLflow's own, as is what it raises

    kinds = exceptions.ConnectionError, exceptions.ChunkedEncodingError, exceptions.RetryError
    silent = (cause for cause in _causes(error) if isinstance(cause, (*kinds, exceptions.Timeout)))
    return next(silent, None)


def waited_s(error: BaseException | None) -> float:
    """How long a request waited in vain, where it is that which failed."""
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_TIMEOUT
    from requests import ReadTimeout

    return MLFLOW_HTTP_REQUEST_TIMEOUT.get() if isinstance(error, ReadTimeout) else 0.0


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause:
        yield cause
        cause = cause.__cause__ or cause.__context__
