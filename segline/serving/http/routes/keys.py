"""The key that clients bring, where one is asked for."""

import hmac

from starlette.requests import Request

from segline.serving.http.faults import RefusedError
from segline.serving.http.service import Service


def service_of(request: Request) -> Service:
    """What the routes share."""
    service: Service = request.app.state.service
    return service


def require_key(request: Request) -> None:
    """Refuse who brings no key, where one is asked for.

    Raises:
        RefusedError: the key is missing or another.
    """
    scheme, _, brought = request.headers.get("authorization", "").partition(" ")
    if not is_key(request, brought if scheme.lower() == "bearer" else ""):
        raise RefusedError(401, "the key is missing or wrong; send Authorization: Bearer KEY")


def is_key(request: Request, brought: str) -> bool:
    """Whether a key opens, in a time that does not tell how near it was."""
    key = service_of(request).settings.key
    return not key or hmac.compare_digest(brought.encode(), key.encode())
