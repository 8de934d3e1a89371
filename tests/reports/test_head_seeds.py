"""The heads of a sweep over seeds: numbers beside their nulls, the goal, and the file that the explorer reads."""

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.reports.head_seeds import AMONG, ARMS, CARRIED, WHICH, SweptHeads, report
from rrm.statistics.head_seeds import load_measures, save_measures


def swept(top=0.05, random=0.3, seeds=5) -> SweptHeads:
    rng = np.random.default_rng(0)
    found = {}
    for seed in range(seeds):
        exact = {
            "accuracy": 0.95, "divergence/initial": 0.37, "divergence/other_order": 0.32, "gini": 0.22,
            "change_of/0": 0.5, "by_chance_of/0": 0.4, "change_in/early": 0.3, "by_chance_in/early": 0.3,
            "divergence/easy_to_hard": 0.5,
            "gini_by_chance": 0.2, "top_share": 0.09, "top_share_by_chance": 0.08, "changed": 0.6,
            "lost/top_head_all_zero": top, "lost/random_head_all_zero": random, "lost/needed_head_all_zero": 0.9,
            "lost/random_second_half_head_all_zero": random, "among/top": 0.2, "among/needed": 0.99, "among/drawn": 0.5,
            "moved/initial/attention": 0.19, "moved/random_labels/attention": 0.1, "moved/initial/feed-forward": 0.28,
            "rank/initial/attention/stable": 4.3, "rank/random_labels/attention/stable": 2.8, "apart/peers": -0.02,
            "lift/after/peers": 0.3, "lift/before/peers": 0.0, "above/after/peers": 0.8, "above/before/peers": 0.3,
            "accuracy_of/easy_to_hard": 0.9,
        }  # fmt: skip
        found[seed] = {name: value * (1 + rng.normal(0, 0.02)) for name, value in exact.items()}
    return SweptHeads("trm_att of s", found, ["easy to hard"])


def test_numbers_over_seeds_stand_beside_their_nulls():
    of = swept()
    whole, carried = of.find(WHICH, "all heads"), of.find(CARRIED, "changed most")
    assert whole.difference.estimate == pytest.approx(0.05, abs=0.01) and whole.difference.n == 5
    assert carried.difference.high < 0 and set(carried.null) == set(range(5))
    assert of.find(AMONG, "changed most").chance == 0.5
    assert [one.words for one in of.of(ARMS)] == ["easy to hard"]
    said = report(of)
    told = "\n".join(said.sentences)
    for words in ("Which heads: divergence 0.36", "Concentrated or not: ", "feed-forward 0.28",
                  "What rank: changes of attention have stable rank", "Trained easy to hard: divergence from the",
                  "(detectable 0.0", "not reached. It carries 5 "):  # fmt: skip
        assert words in told, words
    assert said.metrics["heads/over_seeds/share_of_the_gain_that_goes_without_heads/changed_most"] < 0.1


@pytest.mark.parametrize("top, random, verdict", [(0.9, 0.1, "reached"), (0.8, 0.1, "open"), (0.9, 0.3, "not reached")])
def test_the_goal_is_judged_by_intervals(top, random, verdict):
    told = next(one for one in report(swept(top, random)).sentences if one.startswith("Goal"))
    assert f"at most 20 %: {verdict}" in told


def test_one_seed_has_no_interval_and_no_verdict():
    told = "\n".join(report(swept(seeds=1)).sentences)
    assert "[" not in told.partition("Solved")[0].partition("Concentrated")[0] and "at most 20 %: open" in told


def test_measures_come_back_from_their_file_and_another_file_is_refused(tmp_path):
    path, measures = tmp_path / "head_seeds.json", swept().measures
    save_measures(measures, path)
    assert load_measures(path) == measures
    for text in ("{}", '{"measures": [{"group": "a"}]}', '{"measures": 3}', "["):
        path.write_text(text)
        with pytest.raises(InputError):
            load_measures(path)
