"""The benchmark: where the time goes, and how far a faster network carries."""

from segline.benchmark import STAGES, BackendTimes, Benchmark
from segline.report import figures
from segline.report.markup import Content, Html, drawn, element, heading, join, number, table
from segline.report.wording import bytes_in_words, counted, decimal, percent

_MANY_RUNS = 20
"""With fewer, the 95th percentile is the slowest run."""


def benchmark(timed: Benchmark) -> Html:
    """Times of every backend and stage, as a table and as bars."""
    where = f"{counted(len(timed.cases), 'test case')} on {timed.machine}, {counted(timed.threads, 'thread')}"
    lead = (
        f"{where}, from the file on disk to the mask on disk, after one run that is not counted. Peak memory "
        f"of the process, all backends one after another: {bytes_in_words(timed.peak_memory_bytes)}."
    )
    caption = "Medians of the stages; their sum differs a little from the median of the whole."
    return element(
        "section",
        element("h2", "Benchmark"),
        element("p", lead),
        _table(timed),
        element(
            "figure",
            drawn(lambda: figures.stage_times(timed)),
            element("figcaption", caption),
            class_="chart",
        ),
        _remark(timed),
        id="benchmark",
    )


def _table(timed: Benchmark) -> Html:
    stages = [heading(stage, numeric=True) for stage in STAGES]
    totals = [heading(name, numeric=True) for name in ("Total", "p95", "Volumes a minute", "Runs")]
    return table(("Milliseconds", *stages, *totals), [_row(times) for times in timed.backends])


def _row(times: BackendTimes) -> list[Content]:
    runs = element("span", str(times.runs), title="timed predictions")
    few = f"the slowest of {times.runs} runs" if times.runs < _MANY_RUNS else None
    return [
        join([element("strong", times.backend), element("small", times.version, class_="below")]),
        *(number(decimal(times.stages_ms.get(stage, 0.0), 1)) for stage in STAGES),
        number(element("strong", decimal(times.total_ms, 1))),
        number(element("span", decimal(times.total_p95_ms, 1), title=few)),
        number(decimal(times.volumes_per_minute, 1)),
        number(runs),
    ]


def _remark(timed: Benchmark) -> Html | None:
    """End to end beside the network alone: only the latter is what a backend changes."""
    if not timed.backends:
        return None
    first, *others = timed.backends
    rest = 1 - min(1.0, first.stages_ms.get("network", 0.0) / first.total_ms)
    lines = [
        f"With {first.backend}, {percent(rest, 0)} of the time goes into reading, preprocessing, stitching, "
        "inverting and saving, which no backend makes faster."
    ]
    lines += [_against(first, other) for other in others]
    if any(times.runs < _MANY_RUNS for times in timed.backends):
        lines.append(f"With fewer than {_MANY_RUNS} runs, p95 is the slowest run.")
    return element("ul", *(element("li", line) for line in lines), class_="remarks")


def _against(first: BackendTimes, other: BackendTimes) -> str:
    network = first.stages_ms.get("network", 0.0) / max(other.stages_ms.get("network", 0.0), 1e-9)
    whole = first.total_ms / other.total_ms
    return (
        f"{other.backend} against {first.backend}: {_ratio(whole)} end to end, {_ratio(network)} in the "
        "network alone. The first figure is what a user waits for."
    )


def _ratio(speedup: float) -> str:
    """A ratio of times in words.

    >>> _ratio(1.31), _ratio(0.8)
    ('1.31 times as fast', '1.25 times as slow')
    """
    return f"{speedup:.2f} times as fast" if speedup >= 1 else f"{1 / speedup:.2f} times as slow"
