"""Documents: what a stage leaves for the next as one readable JSON file, and texts that others wrote."""

from segline.common.documents.records import (
    Document,
    Sealed,
    first_fault,
    read_json_object,
    read_sealed,
    write_sealed,
)

__all__ = ["Document", "Sealed", "first_fault", "read_json_object", "read_sealed", "write_sealed"]
