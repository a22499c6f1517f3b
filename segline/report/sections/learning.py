"""The training: what was tuned for it, what it took, its curves, and which weights were kept."""

from segline.common.wording import counted
from segline.evaluation.figures import titled
from segline.model.history import History
from segline.plan import Plan
from segline.report.html.markup import Content, Html, chart, details, element, heading, number, table
from segline.report.html.wording import dash, decimal, duration, times
from segline.report.pictures import charts
from segline.report.sections.data import fact_list
from segline.training.tuning.record import Candidate, Tuning


def training(history: History, plan: Plan | None, tuning: Tuning | None = None) -> Html:
    """Facts and curves of the training, and what a probe chose for it."""
    return element(
        "section",
        element("h2", "Training"),
        fact_list(_facts(history, plan)),
        _curves(history),
        _tuning(tuning) if tuning else None,
        id="training",
    )


def _facts(history: History, plan: Plan | None) -> list[tuple[str, Content]]:
    epochs = " and ".join(f"{points[-1].epoch:.0f}" for points in history.networks if points) or "0"
    resumed = history.resumed_from_step
    score = history.best_score
    unknown = dash("no validation took place")
    validations = sum(point.scores is not None for point in history.points)
    each = f", each on {counted(len(plan.split.val), 'case')}" if plan else ""
    return [
        ("Steps", f"{history.steps} ({epochs} epochs)"),
        ("Time", duration(60 * history.minutes)),
        ("Device", history.device),
        (
            f"Validation {titled(history.figure)} of the kept weights",
            unknown if score is None else decimal(score, 4),
        ),
        ("The kept weights are of", unknown if score is None else history.kept),
        ("Validations", f"{validations}{each}"),
        ("Resumed", "no interruption" if resumed is None else f"continued from step {resumed}"),
        ("Seed", str(history.seed)),
    ]


def _curves(history: History) -> Html:
    if not history.points:
        why = "No curves: the training ended before its loss was written down for the first time."
        return element("p", why, class_="absent")
    caption = (
        f"Loss (mean of 20 steps), mean {titled(history.figure)} over the validation cases and learning "
        "rate. Dashed: the step whose weights were kept."
    )
    if history.resumed_from_step is not None:
        caption += " Dotted: where an interruption was taken up again."
    return chart(lambda: charts.curves(history), caption, id="training-curves")


def _tuning(tuning: Tuning) -> Html:
    """What was tried, and what the training was made of it."""
    return _probe(tuning) if tuning.candidates else _rate_alone(tuning)


def _rate_alone(tuning: Tuning) -> Html:
    lead = (
        f"Before the training its learning rate was looked for on {tuning.device}, which took "
        f"{duration(60 * tuning.probe_minutes)}; it was trained at {tuning.training.learning_rate:g}."
    )
    return details("How its learning rate was found", element("p", lead), _range_test(tuning))


def _probe(tuning: Tuning) -> Html:
    chosen, budget, validation_seconds = tuning.training, tuning.budget_minutes, tuning.validation_seconds
    assert budget is not None and validation_seconds is not None, "only a rate is found without"
    head = [heading("Patch (voxels)")]
    columns = ("Batch", "Seconds a step", "Patches a second", "Steps in the budget", "Patches of each case")
    head += [heading(text, numeric=True) for text in columns]
    lead = (
        f"For a budget of {budget:g} min a probe of {duration(60 * tuning.probe_minutes)} on "
        f"{tuning.device} chose a patch of {times(chosen.patch_size)} voxels, a batch of "
        f"{chosen.batch_size}, a learning rate of {chosen.learning_rate:g} and "
        f"{counted(chosen.validations, 'validation')} of {duration(validation_seconds)}; "
        f"{tuning.steps} steps were expected in what it left."
    )
    return details(
        "How it was tuned to this machine",
        element("p", lead),
        table(head, [_candidate(tried) for tried in tuning.candidates]),
        _range_test(tuning),
    )


def _candidate(tried: Candidate) -> list[Content]:
    if tried.seconds_a_step is None:
        figures: list[Content] = [dash("it does not fit into memory")] * 4
    else:
        figures = [
            decimal(tried.seconds_a_step, 3),
            decimal(tried.samples_per_second, 1),
            str(tried.steps),
            decimal(tried.passes, 0),
        ]
    return [times(tried.patch_size), number(str(tried.batch_size)), *(number(figure) for figure in figures)]


def _range_test(tuning: Tuning) -> Html:
    test = tuning.range_test
    if test is None:
        why = "No test of the learning rate: the budget had no time for one, and the plan's was taken."
        return element("p", why, class_="absent")
    caption = (
        f"Loss while the learning rate rises with each of {len(test.rates)} steps, smoothed over a tenth of "
        "them. Dashed: the rate that was chosen, where the loss falls fastest, within bounds of the plan's."
    )
    return chart(lambda: charts.range_test(test, tuning.training.learning_rate), caption, id="range-test")
