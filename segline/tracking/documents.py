"""The documents of a run that leave its folder, the names of cases hidden."""

from collections.abc import Callable, Iterator

from segline.common.documents.names import (
    BENCHMARK,
    COMPARISON,
    CROSS_VALIDATION,
    EVALUATION,
    GATE,
    MODEL_CARD,
    PLAN,
    POOLED,
    PROMOTION,
    REPORT,
    RUN,
    SUMMARY,
    TUNING,
)
from segline.data.pseudonyms import Pseudonyms
from segline.runs.run import Run

_POOLED = f"{POOLED}/{EVALUATION}"
_JSON = (RUN, PLAN, TUNING, GATE, BENCHMARK, PROMOTION, SUMMARY, CROSS_VALIDATION, _POOLED, COMPARISON)


def documents(run: Run, names: Pseudonyms) -> Iterator[tuple[str, str]]:
    """Name and text of each that is there; the report only where no name could be left in it."""
    for name in _JSON:
        yield from _hidden(run, name, name, names.hide_in_json)
    for path in run.evaluation_files:
        name = path.relative_to(run.folder).as_posix()
        yield from _hidden(run, name, f"evaluations/{path.parent.name}.json", names.hide_in_json)
    yield from _hidden(run, MODEL_CARD, MODEL_CARD, names.hide)
    if names.telling:
        yield from _hidden(run, REPORT, REPORT, names.hide_in_page)


def _hidden(run: Run, name: str, shown: str, hide: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    if (run.folder / name).is_file():
        yield shown, hide((run.folder / name).read_text(encoding="utf-8"))
