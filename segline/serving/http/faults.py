"""Refusals: a status, and one line of JSON that says what, and what to do."""

import json
import logging
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from segline.common.errors import SeglineError, plain_error
from segline.serving.work.desk import BusyError, TooLargeError
from segline.serving.work.spool import FullError

UNFIT = 422
"""Of what was understood, and cannot be answered."""

_RETRY_FULL_S = "10"

_log = logging.getLogger(__name__)


class RefusedError(SeglineError):
    """A request that is not taken.

    Attributes:
        status: of the response.
        headers: of it, too.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})


def busy(error: BusyError, status: int = 429) -> RefusedError:
    """The queue is full: to be asked again."""
    return RefusedError(status, str(error), {"Retry-After": str(error.retry_after_s)})


def refusal(error: RefusedError) -> Response:
    """As it is sent."""
    line = json.dumps({"error": " ".join(str(error).split())}, ensure_ascii=False) + "\n"
    return Response(line, error.status, error.headers, "application/json")


async def refused(_: Request, error: Exception) -> Response:
    """The response to whatever was raised; a defect is told to the log alone."""
    if isinstance(error, RefusedError):
        return refusal(error)
    readable = plain_error(error)
    if isinstance(readable, FullError):
        return refusal(RefusedError(503, str(readable), {"Retry-After": _RETRY_FULL_S}))
    if isinstance(readable, TooLargeError):
        return refusal(RefusedError(413, str(readable)))
    if isinstance(readable, SeglineError):
        return refusal(RefusedError(UNFIT, str(readable)))
    _log.error("a defect", exc_info=error)
    return refusal(RefusedError(500, "the server failed at this request; its log says more"))
