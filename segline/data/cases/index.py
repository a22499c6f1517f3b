"""Cases on the plan's grid, kept by content: a case is computed once for all plans that preprocess alike."""

from collections.abc import Sequence
from pathlib import Path

from segline.common.digests import sha256_of_json
from segline.common.documents import Document
from segline.common.errors import SeglineError
from segline.common.progress import Progress, silent
from segline.data.cases.case import Case, CasesOnDisk
from segline.data.manifest import CaseEntry, Manifest
from segline.imaging.preprocessing import PREPROCESSING_VERSION
from segline.plan import Plan
from segline.storage.access import Access, is_uri
from segline.storage.depot import Depot

CASES = "cases"
"""Where a depot has the entries, by key."""


class CaseIndex(Document):
    """Which cached entry holds which case of a plan; what the preprocess stage hands on."""

    kind = "an index of cases"
    stage = "preprocess"

    plan_digest: str
    root: str
    """Folder of the cached entries; or the URI of the depot that has them."""
    keys: dict[str, str]
    """Case name to entry."""
    computed: int
    reused: int

    @classmethod
    def of(cls, manifest: Manifest, plan: Plan, depot: Depot, computed: int) -> "CaseIndex":
        """The cases of a data set, all of them in the depot; ``computed`` of them are new there."""
        return cls(
            plan_digest=plan.digest,
            root=depot.store.uri if depot.is_remote else str(depot.path(CASES)),
            keys={case.name: case_key(case, plan) for case in manifest.cases},
            computed=computed,
            reused=len(manifest.cases) - computed,
        )

    def bring(self, names: Sequence[str], access: Access, progress: Progress = silent) -> "CaseIndex":
        """Have the named cases on this machine; the index whose root is their folder here.

        Raises:
            SeglineError: as :meth:`open`, or as :class:`segline.storage.store.Store`.
        """
        if not is_uri(self.root):
            return self
        depot = access.depot(self.root)
        depot.bring_folders([case_folder(self.key_of(name)) for name in names], "cases", progress)
        return self.model_copy(update={"root": str(depot.path(CASES))})

    def open(self, names: Sequence[str]) -> Sequence[Case]:
        """The named cases, which are on this machine; each is checked now, and mapped when it is taken.

        Raises:
            SeglineError: a name is not in the index, or an entry is gone from the cache or damaged.
        """
        places = [(name, Path(self.root) / self.key_of(name)) for name in names]
        for name, folder in places:
            Case.open(name, folder)
        return CasesOnDisk(places)

    def key_of(self, name: str) -> str:
        """The entry of a case.

        Raises:
            SeglineError: the index does not have it.
        """
        if name not in self.keys:
            raise SeglineError(
                f"case {name}: not among the {len(self.keys)} preprocessed cases; run preprocess again"
            )
        return self.keys[name]


def case_folder(key: str) -> str:
    """Where a depot has the entry."""
    return f"{CASES}/{key}"


def case_key(case: CaseEntry, plan: Plan) -> str:
    """What a cached case depends on: the raw files, the preprocessing part of the plan, and its code.

    And the kind of task, where the plan's digest has it too.
    """
    return sha256_of_json(
        {
            "case": case.digest,
            "preprocessing": plan.preprocessing.model_dump(mode="json"),
            "labels": list(plan.label_values),
            **plan.model_dump(mode="json", include={"kind", "ignore"}),
            "code": PREPROCESSING_VERSION,
        }
    )
