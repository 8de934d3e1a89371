"""Useful puzzles by the way they were made: counts, words and figure."""

import numpy as np

from rrm.reports.proposals import Found, report


def test_the_report_counts_useful_puzzles(overlaps):
    def found(successes, seconds):
        return Found(np.repeat([0, 4, 16], successes), np.ones(sum(successes)), seconds)

    ways = {
        "known": found((20, 10, 10), None),
        "fresh": found((50, 10, 40), 0.5),
        "graph": found((20, 60, 20), 2.0),
        "graph, small moves": found((40, 20, 40), 0.5),
        "graph, any start": found((40, 20, 40), 0.5),
    }
    said = report("TRM", "sudoku-6x6", ways, K=16, calls=10)
    assert said.metrics["proposals/fresh/useful_per_cpu_s"] == 20 and said.metrics["proposals/graph/useful"] == 0.6
    assert not any("," in name for name in said.metrics)  # a store refuses such names
    text = " ".join(said.sentences)
    assert "graph: 60.0 % of the puzzles are useful, of fresh ones 10.0 %: a difference of 50.0 [" in text
    assert "graph: 30 useful puzzles a CPU-second of the solver, fresh 20: 1.5 times" in text
    assert (
        "40 x 16 attempts, 6400 network calls" in text
        and "graph: to find a useful puzzle by attempts takes 267" in text
    )
    assert not overlaps(said.figures["proposals"])
