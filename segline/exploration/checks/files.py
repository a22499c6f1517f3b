"""What is wrong or odd about the files themselves."""

from collections.abc import Iterator

from segline.exploration.checks.finding import Finding
from segline.exploration.facts import Facts


def refused(facts: Facts) -> Iterator[Finding]:
    """Cases that cannot be read, or do not agree with what is declared."""
    for fault in facts.faults:
        remedy = "as told; a run stops at it until it is corrected or taken out of dataset.json"
        yield Finding("refused", "Refused", fault.case, str(fault.error), "", remedy)


def twins(facts: Facts) -> Iterator[Finding]:
    """Cases whose images are the same, voxel by voxel."""
    for group in facts.manifest.twins:
        first, *others = group
        yield Finding(
            level="odd",
            check="One image under several names",
            case=first,
            what=f"every voxel of its image is that of {', '.join(others)}",
            number=f"{len(group)} cases",
            remedy="take out all but one; if they stay, they stay on one side of every split",
        )


def remarks(facts: Facts) -> Iterator[Finding]:
    """What verification remarks of the files, such as how they are placed."""
    for case in facts.cases:
        for remark in case.remarks:
            remedy = "nothing, if it lies where it should; else correct the header"
            yield Finding("remark", "File header", case.name, remark, "", remedy)
