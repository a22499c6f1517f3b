"""What a server is told when it starts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Limits of what is taken in, and how long answers are kept."""

    upload_bytes: int = 512 << 20
    """Of one request's body."""
    unpacked_bytes: int = 4 << 30
    """Of the files in a zip, and of the voxels that a file declares."""
    voxels: int = 600_000_000
    """Of one volume, on its own grid: more than a whole body of 512x512x2000."""
    spool_bytes: int = 16 << 30
    """Of everything that was sent and is kept."""
    silent_s: float = 15.0
    """How long a client may send nothing in the middle of its request."""
    slowest_bytes_s: int = 16 << 10
    """What a body must come in at, on average, after the first ``silent_s``."""
    keep_s: float = 900.0
    """How long the answer of a job waits to be fetched."""
    keep_jobs: int = 512
    """How many of them."""
    origins: tuple[str, ...] = ()
    """Of the web pages that may ask, as ``https://viewer.example.org``; its own always may."""
    key: str = ""
    """What clients must bring as ``Authorization: Bearer``; nothing where it is empty."""
