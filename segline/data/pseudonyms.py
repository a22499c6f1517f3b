"""Pseudonyms: what cases are called where the names of their files must not be known."""

import json
import re
from collections.abc import Mapping
from typing import Any

from segline.data.manifest import Manifest

_DATA_URI = r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+"


class Pseudonyms:
    """What each case is called in place of its name."""

    def __init__(self, pseudonyms: Mapping[str, str]) -> None:
        self._short = dict(pseudonyms)
        longest_first = sorted(map(re.escape, self._short), key=len, reverse=True)
        names = rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)" if longest_first else r"(?!)"
        self._names = re.compile(names)
        self._names_or_images = re.compile(f"{_DATA_URI}|{names}")

    @classmethod
    def of(cls, manifest: Manifest | None) -> "Pseudonyms":
        """Of the cases of a data set, as :attr:`.Manifest.pseudonyms`; of none where there is no data set."""
        return cls(manifest.pseudonyms if manifest else {})

    def __getitem__(self, name: str) -> str:
        return self._short[name]

    @property
    def telling(self) -> bool:
        """Whether no name is a bare number, which cannot be told from a figure in running text."""
        return not any(name.isdecimal() for name in self._short)

    def hide(self, text: str) -> str:
        """``text`` with every name replaced.

        >>> Pseudonyms({"spleen_8": "c0ffee123456"}).hide("spleen_8.nii.gz, spleen_80")
        'c0ffee123456.nii.gz, spleen_80'
        """
        return self._names.sub(lambda match: self._short[match[0]], text)

    def hide_in_page(self, page: str) -> str:
        """The same for HTML, whose embedded images stay as they are."""
        return self._names_or_images.sub(lambda match: self._short.get(match[0], match[0]), page)

    def hide_in_json(self, document: str) -> str:
        """The same for the strings and keys of a JSON document; its numbers are never names."""
        return json.dumps(self._hidden(json.loads(document)), indent=2, ensure_ascii=False) + "\n"

    def _hidden(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, list):
            return [self._hidden(item) for item in value]
        if isinstance(value, dict):
            return {self.hide(key): self._hidden(item) for key, item in value.items()}
        return value
