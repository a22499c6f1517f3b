"""How many images a folder has for prediction alone."""

from pathlib import Path

from segline.common.documents import read_json_object
from segline.common.errors import SeglineError
from segline.data.declarations.decathlon import INDEX, LARGEST

_IMAGES = "imagesTs"
_FIRST_CHANNEL = "_0000."


def count_unlabelled(root: Path) -> int:
    """Images without a label: as ``dataset.json`` lists them, or as nnU-Net's layout names their files.

    Raises:
        SeglineError: ``dataset.json`` cannot be read.
    """
    if not (root / INDEX).is_file():  # a folder a class or a case has none
        return 0
    content = read_json_object(root / INDEX, INDEX, LARGEST)
    if isinstance(listed := content.get("test"), list) and listed:
        return len(listed)
    if "file_ending" not in content:
        return 0
    try:
        names = [path.name for path in (root / _IMAGES).glob("*") if not path.name.startswith(".")]
    except OSError as error:
        raise SeglineError(f"{_IMAGES}: cannot be read ({error.strerror})") from error
    return sum(_FIRST_CHANNEL in name for name in names)
