"""The benchmark: where the time goes, and how far a faster network carries."""

from collections.abc import Collection, Sequence

from segline.acceptance.times import STAGES, BackendTimes, Benchmark, DeviceUse, Machine, Unavailable
from segline.common.wording import counted
from segline.report.html.markup import Content, Html, chart, element, heading, join, number, table
from segline.report.html.wording import bytes_in_words, dash, decimal, percent
from segline.report.pictures import charts
from segline.report.sections.data import fact_list

_RUNS_OF_P95, _RUNS_OF_P99 = 20, 100
"""With fewer, the percentile is the slowest run."""
_NO_WINDOWS = "the windows were not counted"


def benchmark(timed: Benchmark, left_out: Collection[str] = ()) -> Html:
    """Times of every backend and stage, as tables and as bars; ``left_out`` are told of elsewhere."""
    missing = [other for other in timed.unavailable if other.backend not in left_out]
    lead = (
        f"{counted(len(timed.cases), 'test case')}, one after another, each backend in a process of its own "
        f"after {counted(timed.warm_up_runs, 'run')} that {'is' if timed.warm_up_runs == 1 else 'are'} not "
        "counted. End to end is from the file on disk to the answer on disk: what a user waits for. The "
        "network alone is all that a backend changes."
    )
    return element(
        "section",
        element("h2", "Benchmark"),
        element("p", lead),
        _unavailable(missing),
        *(_timed(timed) if timed.backends else ()),
        element("h3", "Measured on"),
        _machine(timed.machine),
        id="benchmark",
    )


def _timed(timed: Benchmark) -> list[Html]:
    caption = "Medians of the stages; at each bar's end the median of the whole, not quite their sum."
    picture = chart(lambda: charts.stage_times(timed), caption)
    return [_table(timed), element("h3", "Stage by stage"), _stages(timed), picture, _remarks(timed)]


def _unavailable(others: Sequence[Unavailable]) -> Html | None:
    lines = [element("li", element("code", other.backend), f": {other.reason}") for other in others]
    return element("div", "Not timed:", element("ul", *lines), class_="note skipped") if lines else None


def _table(timed: Benchmark) -> Html:
    """The network alone beside end to end; what was used."""
    on_gpu = any(times.device for times in timed.backends)
    groups = [("Network alone", 2), ("End to end", 4), ("Peak memory", 1 + on_gpu)]
    if on_gpu:
        groups.append(("Energy", 1))
    above = [heading(name, colspan=columns) for name, columns in groups]
    names = ["ms/window p50", "windows/s", "ms/volume p50", "p95", "p99", "volumes/min", "host"]
    names += ["GPU", "J/volume"] if on_gpu else []
    head = ("Backend", *(heading(name, numeric=True) for name in names), heading("Runs", numeric=True))
    rows = [_row(times, on_gpu) for times in timed.backends]
    return table(head, rows, "grouped", above=("", *above, ""))


def _row(times: BackendTimes, on_gpu: bool) -> list[Content]:
    few = f"the slowest of {times.runs} runs"
    whole = times.end_to_end.volume_ms
    return [
        _named(times),
        *_network_cells(times),
        number(element("strong", _milliseconds(whole.p50))),
        number(element("span", _milliseconds(whole.p95), title=few if times.runs < _RUNS_OF_P95 else None)),
        number(element("span", _milliseconds(whole.p99), title=few if times.runs < _RUNS_OF_P99 else None)),
        number(decimal(times.end_to_end.volumes_per_minute, 1)),
        number(bytes_in_words(times.peak_host_bytes)),
        *(_device_cells(times.device) if on_gpu else ()),
        number(str(times.runs)),
    ]


def _named(times: BackendTimes) -> Html:
    return join(
        [
            element("strong", times.backend),
            element("small", f"{times.version}, {times.precision}", class_="below"),
        ]
    )


def _network_cells(times: BackendTimes) -> list[Content]:
    if times.network is None:
        return [number(dash(_NO_WINDOWS)), number(dash(_NO_WINDOWS))]
    window, each_second = times.network.window_ms, times.network.windows_per_second
    spread = (
        f"p95 {_milliseconds(window.p95)}, p99 {_milliseconds(window.p99)}; {times.network.windows} windows"
    )
    return [
        number(element("strong", _milliseconds(window.p50), title=spread)),
        number(decimal(each_second, 1)),
    ]


def _device_cells(use: DeviceUse | None) -> list[Content]:
    if use is None:
        cpu = dash("runs on the CPU")
        return [number(cpu), number(cpu)]
    joules = use.joules_per_volume
    energy = dash("this GPU does not count its energy, or it cannot be read")
    return [number(bytes_in_words(use.peak_bytes)), number(energy if joules is None else decimal(joules, 1))]


def _stages(timed: Benchmark) -> Html:
    head = ("Milliseconds a volume, p50", *(heading(stage, numeric=True) for stage in STAGES))
    rows = [
        [element("strong", times.backend), *(_stage_cell(times, stage) for stage in STAGES)]
        for times in timed.backends
    ]
    return table(head, rows)


def _stage_cell(times: BackendTimes, stage: str) -> Content:
    spread = times.stages_ms[stage]
    tail = f"p95 {_milliseconds(spread.p95)}, p99 {_milliseconds(spread.p99)}"
    return number(element("span", _milliseconds(spread.p50), title=tail))


def _milliseconds(value: float) -> str:
    return decimal(value, 0 if value >= 1000 else 1)


def _machine(machine: Machine) -> Html:
    facts: list[tuple[str, Content]] = [
        ("Processor", machine.processor),
        ("CPUs", str(machine.cpus)),
        ("Threads of the network", str(machine.threads)),
        ("Memory", bytes_in_words(machine.memory_bytes)),
        ("System", machine.system),
        ("GPU", machine.gpu),
    ]
    return fact_list(facts)


def _remarks(timed: Benchmark) -> Html:
    """How far the network alone carries, and how the figures are to be read."""
    first, *others = timed.backends
    rest = 1 - min(1.0, first.stages_ms["network"].p50 / first.end_to_end.volume_ms.p50)
    lines = [
        f"With {first.backend}, {percent(rest, 0)} of the time goes into reading, preprocessing, stitching, "
        "inverting and saving, which no backend makes faster."
    ]
    lines += [_against(first, other) for other in others]
    lines += [f"{times.backend}: {times.note}." for times in timed.backends if times.note]
    lines += _few_runs(min(times.runs for times in timed.backends))
    lines.append(
        "Peak memory of the host is that of the backend's whole process, with the libraries it loads."
    )
    return element("ul", *(element("li", line) for line in lines), class_="remarks")


def _against(first: BackendTimes, other: BackendTimes) -> str:
    network = first.stages_ms["network"].p50 / max(other.stages_ms["network"].p50, 1e-9)
    whole = first.end_to_end.volume_ms.p50 / other.end_to_end.volume_ms.p50
    return (
        f"{other.backend} against {first.backend}: {_ratio(whole)} end to end, {_ratio(network)} in the "
        "network alone."
    )


def _few_runs(runs: int) -> list[str]:
    """
    >>> _few_runs(9), _few_runs(30), _few_runs(100)
    (['With 9 runs, p95 and p99 are the slowest run.'], ['With 30 runs, p99 is the slowest run.'], [])
    """
    if runs >= _RUNS_OF_P99:
        return []
    slowest = "p99 is" if runs >= _RUNS_OF_P95 else "p95 and p99 are"
    return [f"With {counted(runs, 'run')}, {slowest} the slowest run."]


def _ratio(speedup: float) -> str:
    """A ratio of times in words.

    >>> _ratio(1.31), _ratio(0.8)
    ('1.31 times as fast', '1.25 times as slow')
    """
    return f"{speedup:.2f} times as fast" if speedup >= 1 else f"{1 / speedup:.2f} times as slow"
