"""What S3 servers answer instead of what was asked: which faults pass, and one line for those that do not."""

import re
from xml.etree.ElementTree import ParseError

from segline.common.errors import SeglineError
from segline.storage.objects import MissingObjectError, UnreachableError
from segline.storage.s3_settings import S3Settings

_HINTS = {
    "NoSuchBucket": "there is no such bucket; create it or correct the address",
    "AccessDenied": "access denied; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
    "InvalidAccessKeyId": "the access key is unknown there; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key is wrong; check AWS_SECRET_ACCESS_KEY",
    "XMinioStorageFull": "no space left in the object store; free some there",
}
# A server that was started again has forgotten the multipart uploads of before: the next try begins anew.
_PASSING = {"NoSuchUpload", "SlowDown", "RequestTimeout", "ConditionalRequestConflict", "OperationAborted"}
_PASSING_STATUS = {429, 500, 502, 503, 504}


class ExistsError(SeglineError):
    pass


def is_passing(error: Exception) -> bool:
    """Whether the same request may well succeed a little later."""
    from urllib3.exceptions import HTTPError, LocationValueError, NameResolutionError, SSLError

    if isinstance(error, NameResolutionError):
        return "Temporary failure" in str(error)
    if isinstance(error, HTTPError | ParseError):
        return not isinstance(error, SSLError | LocationValueError)
    return fault_code(error) in _PASSING or _status(error) in _PASSING_STATUS


def fault_code(error: Exception) -> str | None:
    """What S3 calls the fault."""
    # Where a server does not call its answer XML (rclone), the code is only in the text.
    in_text = re.search(r"<Code>(\w+)</Code>", str(error))
    return getattr(error, "code", None) or (in_text[1] if in_text else None)


def _status(error: Exception) -> int | None:
    in_text = re.search(r"Response code: (\d+)", str(error))
    answer = getattr(error, "response", None)
    return getattr(error, "status_code", None) or getattr(answer, "status", in_text and int(in_text[1]))


def plain_fault(error: Exception, where: str, settings: S3Settings) -> SeglineError:
    code, status = fault_code(error), _status(error)
    if code == "NoSuchKey":
        return MissingObjectError(where)
    if code == "PreconditionFailed" or status == 412:
        return ExistsError(f"{where}: is there already; choose another name")
    if code in _HINTS:
        return SeglineError(f"{where}: {_HINTS[code]} (at {settings.endpoint})")
    reason = f"it answers {status} {code or ''}".strip() if status else str(error).rpartition(": ")[2]
    tried = f" after {settings.patience_s:g} s of trying" if is_passing(error) else ""
    return UnreachableError(f"{where}: cannot use {settings.endpoint}{tried} ({reason}); check the address")
