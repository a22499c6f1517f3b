"""What channels and labels may be called: other programs read some names as more than text."""

_MEANT_OTHERWISE = "$@%"
"""With which a MONAI bundle's configuration marks code, references and macros."""
_LONGEST = 100


def fault_of_name(name: str) -> str:
    """What is wrong with the name of a channel or label, to follow it in a sentence; empty if nothing is.

    >>> fault_of_name("left ventricle (end-diastolic)")
    ''
    >>> fault_of_name("$__import__")
    "begins with '$', which a MONAI bundle takes for more than a name; choose another"
    """
    if not name.strip() or len(name) > _LONGEST or not name.isprintable():
        return f"must be 1 to {_LONGEST} printable characters; choose another"
    if name[0] in _MEANT_OTHERWISE:
        return f"begins with {name[0]!r}, which a MONAI bundle takes for more than a name; choose another"
    return ""
