"""The table of runs and the groups."""

import numpy as np
import pytest

from rrm.explorer import runs as table
from rrm.explorer.groups import collapse, group_runs
from rrm.explorer.runs import cell, columns, matches, ordered, outcome, shown, varied
from rrm.explorer.view import View
from tests.explorer.memory import make_run


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", 6), ("noise", 3), ("NOISE trial-003", 1), ("sigma=0.1", 3), ("sigma=1e-1", 3), ("sigma!=0.1", 3),
        ("test/accuracy>0.5", 3), ("test/accuracy<=0.4 seed=0", 1), ("none=1", 0), ("arm=noise", 3), ('arm="noise', 0),
        ("solves", 1), ("status=finished", 6), ("arm<noise", 0),
    ],
)  # fmt: skip
def test_words_and_conditions_find_runs(reader, text, found):
    assert sum(matches(run, text) for run in reader.every_run()) == found


def test_how_a_run_comes_out_has_a_word():
    words = {
        "solves": make_run(0, "a", 0, {"test/accuracy": 0.96}),
        "memorises": make_run(0, "a", 0, {"test/accuracy": 0.2, "train/accuracy": 1.0}),
        "in part": make_run(0, "a", 0, {"test/best_exact": 0.6}),
        "fails": make_run(0, "a", 0, {"validation/exact": 0.1}),
        "running": make_run(0, "a", 0, {"test/accuracy": 1.0}, status="RUNNING"),
        "broken off": make_run(0, "a", 0, {"test/accuracy": 1.0}, status="FAILED"),
        "": make_run(0, "a", 0),
    }
    assert {word: outcome(run) for word, run in words.items()} == {word: word for word in words}


def test_the_table_has_what_runs_differ_in_and_sorts_numbers_as_numbers(reader):
    runs = reader.every_run()
    assert varied(runs) == ["sigma"]
    assert [column.key for column in columns(runs)] == [
        "name", "job", "outcome", "accuracy", "model", "arm", "seed", "sigma", "started", "minutes"
    ]  # fmt: skip
    assert [cell(run, "accuracy") for run in ordered(runs, "-accuracy")][:2] == ["100.0", "80.0"]
    assert cell(runs[0], "minutes") == "1.5" and cell(make_run(0, "a", 0), "accuracy") == ""
    assert ordered([make_run(9, "a", 0), *runs], "accuracy")[-1].name == "trial-009"


def test_a_view_shows_chosen_runs_alone(reader):
    runs = reader.every_run()
    sweep = table.Run("e" * 32, "job", "sweep", "sweep", "job", None, "FINISHED", 0.0, 1.0, {}, {}, {"arms/x": 1.0})
    assert len(shown([sweep, *runs], View())) == 7 and sweep not in table.chosen([sweep, *runs], View())
    view = View(runs=(table.short(sweep), table.short(runs[2])), jobs=("job",))
    assert table.chosen([sweep, *runs], view) == [sweep, runs[2]]
    assert table.chosen(runs, View(jobs=("other",))) == []


def test_hiding_a_run_changes_its_own_group_alone(reader):
    runs = reader.every_run()
    before = group_runs(runs, ("job", "model", "arm"))
    after = group_runs(runs, ("job", "model", "arm"), [table.short(runs[4])])
    assert [group.label for group in before] == [group.label for group in after] == ["baseline", "noise"]
    assert [group.n for group in after] == ["3 runs", "2 of 3 runs"] and after[0] == before[0]
    assert [group.label for group in group_runs(runs, ("seed", "sigma"))][0] == "seed 0, sigma 0.0"
    assert [group.label for group in group_runs(runs[:2], ())] == ["trial-000", "trial-001"]
    same = [make_run(1, "a", 0, name="x"), make_run(2, "a", 0, name="x")]
    same[1] = table.Run(**{**vars(same[1]), "id": "2" * 32})
    assert [group.label for group in group_runs(same, ())] == ["x (00000001)", "x (22222222)"]


def test_a_band_counts_the_runs_that_are_known():
    """One run is logged half as often, one ends early, and one has a gap."""
    x = np.arange(5.0)
    gap = np.array([3.0, 3.0, np.nan, 3.0, 3.0])
    band = collapse([(x[::2], np.array([0.0, 2.0, 4.0])), (x[:3], np.ones(3)), (x, gap)])
    assert band.x.tolist() == x.tolist() and band.n.tolist() == [3, 3, 2, 2, 2]
    assert band.median.tolist() == [1.0, 1.0, 1.5, 3.0, 3.5]
    assert band.low.tolist() == [0.0, 1.0, 1.0, 3.0, 3.0] and band.high.tolist() == [3.0, 3.0, 2.0, 3.0, 4.0]
    assert len(collapse([]).x) == 0 and np.isnan(collapse([(x, np.full(5, np.nan))]).median).all()
    assert len(collapse([(np.arange(9000.0), np.ones(9000))]).x) == 2000
