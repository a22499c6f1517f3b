"""How to reach an object store in S3, from the usual variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from segline.common.errors import SeglineError
from segline.storage.retries import seconds_of

_PATIENCE_S = 120.0


@dataclass(frozen=True)
class S3Settings:
    """How to reach an object store."""

    endpoint: str
    """``host`` or ``host:port``."""
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    secure: bool = True
    """Whether to speak TLS."""
    patience_s: float = _PATIENCE_S
    """How long to go on trying when the server refuses connections or fails."""

    @classmethod
    def from_environment(cls, mapping: Mapping[str, str]) -> "S3Settings | None":
        """Settings from the usual variables; None where neither key is set. For entry points.

        ``S3_ENDPOINT`` or ``AWS_ENDPOINT_URL`` (TLS unless it starts with ``http://``; AWS by default),
        ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION`` (``us-east-1`` by default),
        ``S3_PATIENCE_S`` (120 by default).

        Raises:
            SeglineError: one key without the other, or a patience that is not a number.
        """
        keys = [mapping.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
        if not any(keys):
            return None
        if not all(keys):
            raise SeglineError("S3 credentials: set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        url = mapping.get("S3_ENDPOINT") or mapping.get("AWS_ENDPOINT_URL") or "s3.amazonaws.com"
        parts = urlsplit(url if "://" in url else f"https://{url}")
        region = mapping.get("AWS_REGION") or "us-east-1"
        patience_s = seconds_of(mapping, "S3_PATIENCE_S", _PATIENCE_S)
        return cls(parts.netloc, keys[0], keys[1], region, parts.scheme != "http", patience_s)
