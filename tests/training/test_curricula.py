"""One contract for all curricula, the numbers they draw by, and the same bits on one worker, on two, and resumed."""

import json
from dataclasses import fields, replace
from itertools import product
from math import comb

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from rrm.errors import InputError
from rrm.models import build
from rrm.tasks import get_task
from rrm.tasks.splits import Splits, generate_splits
from rrm.training.assemble import assemble
from rrm.training.curricula.belief import Belief
from rrm.training.curricula.registry import CURRICULA
from rrm.training.curricula.source import CurriculumSettings, systematic_sample
from rrm.training.pace import measure_pace
from rrm.training.part import read_part
from rrm.training.recipe import Recipe
from rrm.training.recipes import cpu_sudoku

TASK = get_task("sudoku-4x4")
BATCH, EVERY = 12, 4
TRIALS = {"every": EVERY, "puzzles": 24, "rollouts": 3, "sigma": 1.0, "segments": 2}
HOOKS = {"learnability": {"trials": TRIALS}}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    """Puzzles with few open cells, rated by them."""
    torch.set_num_threads(1)
    made = generate_splits(TASK.name, (40, 8, 8), 0, (7, 11), tmp_path_factory.mktemp("puzzles"))
    return Splits(*(replace(p, rating=(p.inputs != p.labels).sum(1).astype(np.float32))
                    for p in (made.train, made.validation, made.test)))  # fmt: skip


@pytest.fixture(scope="module")
def puzzles(splits):
    return splits.train


def recipe(kind, hooks=None, steps=10, **changes):
    """A short training; its middle, where it is saved, is the middle of a round."""
    source = {"kind": "curriculum", "curriculum": {"kind": kind}, "every": EVERY}
    made = cpu_sudoku(
        TASK, batch_size=BATCH, evaluations=2, budget=1.0, source=source, hooks=HOOKS.get(kind, {}) if hooks is None
        else hooks, halt_exploration_prob=0.0, halt_max_steps=2, warmup_steps=1, **changes,
    )  # fmt: skip
    model = build(made.model)
    return replace(made, budget=(steps + 0.5) * made.units_per_step(model) + made.hook_units(model, steps))


def made(splits, settings, weights=None, **more):
    """The training, from the given weights; it keeps the rows of every step."""
    torch.set_num_threads(1)
    run = assemble(settings, TASK, splits.train, splits.validation, **more)
    if weights:
        run.model.load_state_dict(weights)
    run.rows, deal = {}, run.source.batch
    run.source.batch = lambda step: run.rows.setdefault(step, deal(step))
    return run


def belief_of(run):
    return {name: value.tolist() for name, value in run.source.tensors().items()}


@pytest.fixture(scope="module")
def weights(splits):
    """Weights that solve some of the puzzles, so that outcomes decide something."""
    run = made(splits, recipe("uniform", steps=90))
    [*run.run()]
    assert 0.1 < run.leading[-1] < 1
    return run.ema.weights(run.model)


def test_counts_add_up_in_any_order_within_the_window_of_a_round():
    whole = replace(Belief.blank(4), round=0).observe([0, 1, 0, -1, 3], [1, 0, 0, 1, 1])
    parts = replace(Belief.blank(4), round=0).observe([3, 0], [1, 0]).observe([0, 1, -1], [1, 0, 1])
    for found in (whole, parts):
        assert found.successes.tolist() == [1, 0, 0, 1] and found.trials.tolist() == [2, 1, 0, 1]
        assert found.last_seen.tolist() == [0, 0, -1, 0] and np.isnan(found.p_hat[2])
    # A later outcome opens a new window of its puzzle alone, and keeps the one before.
    later = replace(whole, round=2).observe([0, 0, 2], [1, 1, 0])
    assert later.successes.tolist() == [2, 0, 0, 1] and later.trials.tolist() == [2, 1, 1, 1]
    assert later.earlier_p_hat[0] == 0.5 and later.last_seen.tolist() == [2, 0, 2, 0]
    again = Belief.from_tensors(later.tensors())
    assert all(np.array_equal(getattr(again, f.name), getattr(later, f.name)) for f in fields(Belief))


@pytest.mark.parametrize(("K", "p"), list(product((2, 3, 8), (0.0, 0.3, 0.5, 1.0))))
def test_learnability_is_unbiased(K, p):
    successes = np.arange(K + 1)
    belief = replace(Belief.blank(K + 1), successes=successes, trials=np.full(K + 1, K))
    chances = [comb(K, s) * p**s * (1 - p) ** (K - s) for s in successes]
    assert belief.learnability @ chances == pytest.approx(p * (1 - p))
    assert not replace(belief, trials=np.ones(K + 1, np.int64)).learnability.any()


def test_a_round_draws_every_puzzle_as_often_as_its_weight_says():
    rng = np.random.default_rng(0)
    flat = systematic_sample(np.full(10, 0.1), 20, rng)
    assert np.bincount(flat).tolist() == [2] * 10 and flat.tolist() != sorted(flat)
    weights = rng.random(50) * (rng.random(50) < 0.5)
    weights /= weights.sum()
    for count in (7, 1000):
        drawn = np.bincount(systematic_sample(weights, count, rng), minlength=50)
        assert (abs(drawn - count * weights) < 1).all() and not drawn[weights == 0].any()


@pytest.mark.parametrize("kind", CURRICULA)
def test_curriculum(splits, puzzles, tmp_path, weights, kind):
    """The contract: plain settings, pure weights, and a resumed training that has the rows of one left alone."""
    settings = recipe(kind)
    assert Recipe(**json.loads(json.dumps(settings.to_dict()))) == settings
    with pytest.raises(InputError, match=f"curriculum '{kind}' has no setting 'tooth'"):
        CurriculumSettings({"kind": kind, "tooth": 1})
    curriculum = read_part(CURRICULA, "curriculum", {"kind": kind})
    curriculum.check(puzzles, TASK)
    if curriculum.rated or kind == "four_phases":
        with pytest.raises(InputError, match="3 of 40 training puzzles of sudoku-4x4 have no rating"):
            curriculum.check(replace(puzzles, rating=np.where(np.arange(40) < 3, np.nan, puzzles.rating)), TASK)
    rng = np.random.default_rng(0)
    belief = replace(Belief.blank(40), round=1).observe(rng.integers(0, 40, 90), rng.random(90) < 0.5)
    belief = replace(belief, round=2).observe(rng.integers(0, 40, 90), rng.random(90) < 0.5)
    for progress in (0.0, 0.3, 1.0):
        coming = replace(belief, round=3)
        found, again = (curriculum.weights(coming, puzzles, progress, 7) for _ in range(2))
        assert found.shape == (40,) and found.dtype == np.float64 and np.array_equal(found, again)
        assert np.isfinite(found).all() and (found >= 0).all() and found.any()
        assert curriculum.weights(replace(Belief.blank(40), round=0), puzzles, progress, 7).any()

    whole = made(splits, settings, weights)
    metrics = [*whole.run()]
    before = made(splits, settings, weights)
    next(before.run())
    assert before.step % EVERY
    before.save(tmp_path, "hash")
    resumed = made(splits, settings)
    resumed.load(tmp_path)
    assert [*resumed.run()][-1]["train/lm_loss"] == metrics[-1]["train/lm_loss"]
    assert all(torch.equal(rows["inputs"], whole.rows[step]["inputs"]) for step, rows in resumed.rows.items() if step)
    assert belief_of(resumed) == belief_of(whole)
    found = whole.source.metrics()
    assert 0 < found["curriculum/breadth"] <= 1 + 1e-9 and 0 < found["curriculum/tried"] <= 1
    assert found["curriculum/rating"] == pytest.approx(whole.source.belief.weights @ puzzles.rating)
    if kind in ("learnability", "learning_progress", "replay"):
        # Outcomes decide what is drawn.
        assert len(np.unique(whole.source.belief.weights)) > 1 and 0 < whole.source.belief.successes.sum()


def worker(rank, folder, splits, weights):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    kept = {}
    for kind in CURRICULA:
        run = made(splits, recipe(kind), weights, rank=rank, world=2, wrap=DistributedDataParallel)
        [*run.run()]
        kept[kind] = run.rows, belief_of(run)
    torch.save(kept, f"{folder}/rank-{rank}.pt")
    dist.destroy_process_group()


def test_two_workers_see_the_rows_of_one(splits, weights, tmp_path):
    mp.spawn(worker, args=(str(tmp_path), splits, weights), nprocs=2)
    ranks = [torch.load(tmp_path / f"rank-{rank}.pt", weights_only=False) for rank in range(2)]
    for kind in CURRICULA:
        alone = made(splits, recipe(kind), weights)
        [*alone.run()]
        rows = [kept[kind][0] for kept in ranks]
        for step, batch in alone.rows.items():
            for name, values in batch.items():
                assert torch.equal(torch.cat([of_rank[step][name] for of_rank in rows]), values), (kind, step, name)
        for kept in ranks:
            assert kept[kind][1] == belief_of(alone), kind


def test_growing_sets_have_the_same_pace_in_three_orders(puzzles):
    sizes = {}
    for kind in ("easy_to_hard", "hard_to_easy", "random_pacing"):
        curriculum = read_part(CURRICULA, "curriculum", {"kind": kind, "start": 0.2, "full": 0.5})
        inside = [curriculum.weights(Belief.blank(40), puzzles, at, 0) > 0 for at in (0, 0.25, 0.5, 1)]
        sizes[kind] = [int(one.sum()) for one in inside]
        assert all((small <= large).all() for small, large in zip(inside, inside[1:], strict=False))
        edge = puzzles.rating[inside[0]], puzzles.rating[~inside[0]]
        assert {"easy_to_hard": edge[0].max() <= edge[1].min(), "hard_to_easy": edge[0].min() >= edge[1].max(),
                "random_pacing": edge[0].max() > edge[1].min() and edge[0].min() < edge[1].max()}[kind]  # fmt: skip
    assert set(map(tuple, sizes.values())) == {(8, 24, 40, 40)}


def test_tiers_get_equal_shares_and_hints_leave_a_cell_open(puzzles):
    mixed = read_part(CURRICULA, "curriculum", {"kind": "mixed_tiers"})
    weights, tier = mixed.weights(Belief.blank(40), puzzles, 0, 0), mixed.tier(puzzles.rating)
    assert np.bincount(tier, weights).tolist() == pytest.approx([1, 1, 1])
    assert puzzles.rating[tier == 0].max() < puzzles.rating[tier == 2].min()

    hints = read_part(CURRICULA, "curriculum", {"kind": "hint_mix", "share": 1.0})
    shown = hints.transform(puzzles.inputs, puzzles.labels, 0, np.random.default_rng(0))
    changed = shown != puzzles.inputs
    assert (shown[changed] == puzzles.labels[changed]).all() and shown.dtype == np.uint8
    assert (changed.sum(1) > 0).all() and ((shown != puzzles.labels).sum(1) > 0).all()


def test_replay_prefers_failures_and_what_is_long_ago():
    belief = replace(Belief.blank(4), round=0).observe([0, 1], [1, 0])
    belief = replace(replace(belief, round=5).observe([2, 3], [1, 0]), round=6)
    weights = read_part(CURRICULA, "curriculum", {"kind": "replay"}).weights(belief, TASK.generate(4, 0), 0, 0)
    assert weights[1] > weights[3] > weights[2] and weights[0] > weights[2] and weights.sum() == pytest.approx(1)


def test_phases_follow_each_other_and_begin_anew():
    phases = read_part(CURRICULA, "curriculum", {"kind": "four_phases"})
    at = [(type(phases.at(p)[0]).__name__, round(phases.at(p)[1], 3)) for p in (0, 0.2, 0.3, 0.5, 0.75, 1)]
    names = ["EasyToHard", "EasyToHard", "MixedTiers", "Replay", "Uniform", "Uniform"]
    assert at == list(zip(names, [0, 0.8, 0.2, 0, 0, 1], strict=True))


@pytest.mark.parametrize(
    ("kind", "changes", "hooks", "words"),
    [
        ("learnability", {}, {}, "needs attempts at the training puzzles, and nothing makes them: add the hook"),
        ("learnability", {}, {"trials": TRIALS | {"rollouts": 1}}, "rollouts of the trials is 1: curriculum"),
        ("learnability", {}, {"trials": TRIALS | {"every": 5}}, "every of the trials is 5 and that of the source 4"),
        ("learnability", {}, {"trials": TRIALS | {"sigma": 0}}, "without noise all attempts at a puzzle are alike"),
        ("learnability", {}, {"trials": TRIALS | {"puzzles": 41}}, "puzzles of the trials is 41, and there are 40"),
        ("uniform", {}, {"trials": TRIALS}, "tells a curriculum that needs trials, and the source is none"),
        ("four_phases", {"phases": {"all": {"share": 0.5, "kind": "replay"}}}, {}, "use shares above 0 that sum to 1"),
        ("mixed_tiers", {"tiers": 30}, {}, "of 30 is empty: of 40 training puzzles the tiers have"),
        ("nothing", {}, {}, "curriculum 'nothing' is unknown: use one of uniform"),
    ],
)
def test_bad_input_is_refused_in_one_line(splits, kind, changes, hooks, words):
    with pytest.raises(InputError, match=words) as refused:
        settings = replace(recipe("uniform", {}), source={"kind": "curriculum", "every": EVERY,
                           "curriculum": {"kind": kind, **changes}}, hooks=hooks, budget=1e6)  # fmt: skip
        assemble(settings, TASK, splits.train, splits.validation)
    assert "\n" not in str(refused.value)


def test_the_pace_of_a_training_with_attempts_is_measured_without_them(splits):
    pace = measure_pace(recipe("learnability"), lambda settings: made(splits, settings))
    assert pace.unit_s > 0 and pace.evaluation_s > 0


def test_a_budget_that_attempts_alone_exhaust_is_refused(splits):
    settings = recipe("learnability")
    alone = settings.hook_settings["trials"].price(2, 6)
    with pytest.raises(InputError, match=rf"beside the {alone:g} of hooks, fewer than the 5 at which hook 'trials'"):
        replace(settings, budget=alone).steps(build(settings.model))
