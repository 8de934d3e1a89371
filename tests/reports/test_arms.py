"""The lines on trials: with accuracy at halting where a model has a Q head, and of scores that an older rrm wrote."""

from rrm.jobs.record import Arm, TrialRecord
from rrm.reports.arms import best_line, points, summary_table

OLD = {"exact": 0.5, "cells": 0.9, "seconds": 1.0}
NEW = {
    "best": OLD | {"exact_at_halting": 0.75, "halting_segment": 2.5},
    "final": OLD | {"exact_at_halting": 0.7, "halting_segment": 2.0},
}


def trial(name, **more):
    told = {"step": 3, "exact": 0.5, "cells": 0.9}
    return TrialRecord(
        name, {"model": "trm_mlp", "seed": 0, "trial": 0}, Arm("baseline", True, {}),
        checkpoint="here", best=told, final=told, curve=[0.4, 0.5], call_units=9.0, **more,
    )  # fmt: skip


def test_scores_with_and_without_an_answer_at_halting():
    trials = [trial("a", finished={"puzzles": 10, "segments": 25}), trial("b")]
    scores = {"a": NEW, "b": {"best": OLD, "final": OLD}}
    head, first, second = summary_table(trials, scores)
    assert "test final %  final at halting %  cells %" in head
    assert first.split()[-3:] == ["70.0", "90.0", "0"] and second.split()[-3:] == ["50.0", "90.0", "0"]
    assert "halting" not in summary_table(trials[1:], scores)[0]
    said = [best_line(t, scores).partition("; ")[2] for t in trials]
    assert said == [
        "exact 50.0% on validation, 50.0% on test (75.0% at halting)",
        "exact 50.0% on validation, 50.0% on test",
    ]
    new, old = points(trials, scores, {"": 8}, {})
    assert (new.best_at_halting, new.final_at_halting, new.finished, new.segments_per_puzzle) == (0.75, 0.7, 10, 2.5)
    assert {old.best_at_halting, old.final_at_halting, old.finished, old.segments_per_puzzle} == {None}
