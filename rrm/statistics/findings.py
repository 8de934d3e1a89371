"""The two findings of a study as plain sentences, made from the data that the figures draw."""

from collections.abc import Sequence

import numpy as np

from rrm.statistics.hypotheses import detectable
from rrm.statistics.interval import Interval
from rrm.statistics.outcomes import OutcomePanel, class_shortage, separation
from rrm.statistics.proportions import newcombe_interval, paired_newcombe_interval, wilson_interval
from rrm.statistics.sweep import SweepPoint, select


def separation_sentence(panel: OutcomePanel) -> str:
    """Whether lambda_1 tells failed from solved puzzles, and whether it does so better than late drift alone.

    The comparison is between two AUCs on the same puzzles. "No better than late drift alone" does not exclude that both
    scores together do better than drift: that is the question of the null ladder.
    """
    found = separation(panel)
    if found is None:
        unsaid = "so nothing can be said about how lambda_1 separates failed from solved"
        return f"{panel.label}: {class_shortage(panel)}, {unsaid}{_left_out(panel)}."
    return (
        f"{panel.label}: lambda_1 has median {np.median(panel.lambda_1[panel.failed]):+.3f} nats per call on "
        f"{np.count_nonzero(panel.failed)} failed and {np.median(panel.lambda_1[panel.solved]):+.3f} on "
        f"{np.count_nonzero(panel.solved)} solved puzzles; it {_separation_words(found.lambda_1)} "
        f"(AUC {found.lambda_1:.3f}) and {_difference_words(found.difference)} "
        f"(AUC {found.late_drift:.3f}; paired difference {found.difference:+.3f}{_missed(found.difference)}; 95 % "
        f"intervals over puzzles, the fitted weights held fixed{_left_out(panel)})."
    )


def perturbation_sentence(points: Sequence[SweepPoint]) -> str:
    """Whether the best run of a search over one model type beats the baseline by more than sampling error.

    Among several runs the one best on validation is taken, on both sides. The interval pairs the two puzzle by puzzle
    (`paired_newcombe_interval`); where their outcomes on single puzzles were not kept, it treats the test scores as
    independent (`newcombe_interval`) and is wide. It covers the draw of test puzzles only. `compare_arms` treats
    the spread between seeds and the luck of the best of many.

    Raises:
        ValueError: the points belong to more than one model type.
    """
    models = sorted({point.model for point in points})
    if len(models) > 1:
        raise ValueError(f"a perturbation effect is stated for one model type at a time; got {', '.join(models)}")
    others = [point for point in points if not point.baseline]
    baseline, baseline_fair = select(point for point in points if point.baseline)
    best, best_fair = select(others)
    if best is None:
        if baseline is None:
            return "No run was scored, so nothing can be said about the perturbation."
        return (
            f"{models[0]}: only the baseline was run ({_accuracy_words(baseline)}), "
            "so nothing can be said about the perturbation."
        )
    choice = "the only run beside the baseline" if len(others) == 1 else f"the best of {len(others)} other runs"
    subject = f"{models[0]}: {choice}, {best.arm}, solves {_accuracy_words(best)}"
    if baseline is None:
        return f"{subject}, but no baseline was run to compare it with."
    if best.solved and baseline.solved:
        paired = "paired on the same puzzles"
        difference = paired_newcombe_interval(_outcomes(best.solved), _outcomes(baseline.solved))
    else:
        paired = "unpaired and so too wide, for outcomes of single puzzles were not kept"
        difference = newcombe_interval(_successes(best), best.puzzles, _successes(baseline), baseline.puzzles)
    if 0 in difference:
        found = f"within sampling error (about {100 * detectable(difference):.1f} points would be found 4 times in 5)"
    else:
        found = f"{'better' if difference.estimate > 0 else 'worse'} by more than sampling error"
    if baseline_fair and best_fair:
        selection = "selected on validation, scored on test"
    else:
        selection = "selected on the test score itself for want of a validation score, so it is optimistic"
    curse = "" if len(others) == 1 else ", and the best of many also owes to the luck of its seed (winner's curse)"
    return (
        f"{subject} against {_accuracy_words(baseline)} of the baseline: a difference of "
        f"{difference * 100:+.1f} percentage points ({paired}; {selection}), {found}; "
        f"two single training runs cannot tell an effect from seed noise{curse}."
    )


def _left_out(panel: OutcomePanel) -> str:
    return f"; {panel.left_out} more left out, whose numbers are not finite" if panel.left_out else ""


def _separation_words(auc: Interval) -> str:
    if auc.estimate == 1:
        return "separates failed from solved completely in this sample"
    if 0.5 in auc:
        return "does not measurably separate failed from solved"
    if auc.estimate > 0.5:
        return "separates failed from solved"
    return "separates failed from solved in the unexpected direction (failed puzzles have the smaller exponent)"


def _difference_words(difference: Interval) -> str:
    if 0 in difference:
        return "is no better than late drift alone, as far as these puzzles tell"
    if difference.estimate > 0:
        return "separates better than late drift alone"
    return "separates worse than late drift alone"


def _missed(difference: Interval) -> str:
    """The difference that a comparison without result would have found with a power of 80 %."""
    if 0 not in difference:
        return ""
    return f", about {detectable(difference):.3f} would have been found 4 times in 5"


def _accuracy_words(point: SweepPoint) -> str:
    accuracy = wilson_interval(_successes(point), point.puzzles) * 100
    return f"{accuracy:.1f} % of {point.puzzles} test puzzles" + (" (stopped early)" if point.stopped_early else "")


def _outcomes(solved: bytes) -> np.ndarray:
    """bool [N] of the N bytes of `SweepPoint.solved`."""
    return np.frombuffer(solved, np.bool_)


def _successes(point: SweepPoint) -> int:
    return round(point.best * point.puzzles)
