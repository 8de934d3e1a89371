"""The dream loop: each of its steps by itself, and a whole round on workers that stop in the middle of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from rrm.errors import InputError
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.maze_cells import GOAL, OPEN, START
from rrm.tasks.maze_labels import label_mazes
from rrm.tasks.splits import generate_splits
from rrm.training.assemble import assemble
from rrm.training.attempts import Attempts
from rrm.training.dream.keep import Pool, admit, keep
from rrm.training.dream.loop import DreamSettings
from rrm.training.dream.noise import LARGEST, SMALLEST, next_sigma
from rrm.training.dream.propose import UNTRIED, Given
from rrm.training.dream.proposers import PROPOSERS
from rrm.training.dream.shards import SHARD, Kept
from rrm.training.dream.stop import STOPS, first_stop
from rrm.training.dream.verify import VERIFIERS, Verdict, check, verify, with_wrong
from rrm.training.losses import IGNORED
from rrm.training.part import Data, read_part
from rrm.training.recipe import Recipe
from rrm.training.recipes import cpu_sudoku
from rrm.training.spread import here

TASK = get_task("sudoku-4x4")
BATCH = 6
LOOP = {
    "rounds": 2,
    "puzzles": SHARD + 4,
    "rollouts": 2,
    "fresh": 4,
    "verifier": "everything",
    "weights": "learnability",
}
SOURCE = {"kind": "dream", "labelled": 8, "failures": 0.5}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    torch.set_num_threads(1)
    return generate_splits(TASK.name, (48, 8, 8), 0, (6, 9), tmp_path_factory.mktemp("puzzles"))


def attempts_at(puzzles, K=3):
    """Attempts that are right, wrong by two swapped cells, and, of the last, right again."""
    answers = np.repeat(puzzles.labels[:, None], K, 1)
    answers[:, 1, [0, 1]] = answers[:, 1, [1, 0]]
    q = np.tile(np.array([-1.0, 2.0, 3.0], np.float32)[:K], (len(puzzles), 1))
    return Attempts(answers, q, np.zeros(answers.shape[:2], bool))


def test_verifiers_accept_by_what_they_look_at(splits):
    puzzles = splits.train.subset(slice(0, 4))
    attempts = attempts_at(puzzles)
    rows = {
        "rules": [True, False, True],
        "q_head": [False, True, True],
        "majority": [True, False, True],
        "oracle": [True, True, True],
        "everything": [True, True, True],
    }
    assert rows.keys() == VERIFIERS.keys()
    for name, expected in rows.items():
        found = verify(name, TASK, puzzles, attempts)
        assert (found.accepted == expected).all() and (found.right == rows["rules"]).all(), name
        told = np.repeat(puzzles.labels[:, None], 3, 1)
        assert (found.answers == (told if name == "oracle" else attempts.answers)).all(), name
    # A right label of a maze's neighbour would do as well: the rules never look at labels.
    blind = verify("rules", TASK, replace(puzzles, labels=np.roll(puzzles.labels, 1, 0)), attempts)
    assert (blind.accepted == rows["rules"]).all()


def test_a_verifier_that_errs_accepts_as_many_wrong_answers_as_it_is_told():
    right = np.arange(400).reshape(100, 4) % 2 == 0
    found = Verdict(right, right, np.zeros((100, 4, 1), np.uint8))
    erring = with_wrong(found, 0.1, np.random.default_rng(0))
    wrong = erring.accepted & ~right
    assert wrong.sum() == round(0.1 * erring.accepted.sum()) == 22 and (erring.accepted >= right).all()
    assert (with_wrong(found, 0.0, np.random.default_rng(0)).accepted == right).all()
    assert with_wrong(Verdict(right, right, found.answers), 0.9, np.random.default_rng(0)).accepted.all()


def verdict_of(accepted, puzzles):
    answers = attempts_at(puzzles, len(accepted[0])).answers
    return Verdict(np.array(accepted), np.array(accepted), answers)


def test_kept_pairs_are_distinct_and_weighted_by_how_often_they_came_or_by_learnability(splits):
    puzzles, rows = splits.train.subset(slice(3, 6)), np.array([3, 4, -1])
    # All three attempts, the wrong one among them; one of the right ones; none.
    found = verdict_of([[True, True, True], [False, False, True], [False, False, False]], puzzles)
    pool = keep(puzzles, rows, found, "kept")
    assert pool.rows.tolist() == [3, 3, 4, -1] and pool.failed.tolist() == [False, False, False, True]
    first = {tuple(answer): weight for answer, weight in zip(pool.answers[:2].tolist(), pool.weights[:2], strict=True)}
    assert first[tuple(puzzles.labels[0])] == 2 and sorted(first.values()) == [1, 2] and pool.weights[2] == 1
    learnable = keep(puzzles, rows, found, "learnability")
    # s (K - s) / (K (K - 1)), in all for a puzzle.
    assert learnable.weights[:2].sum() == 0 and learnable.weights[2] == pytest.approx(1 * 2 / (3 * 2))


def test_the_pool_forgets_what_it_knew_of_a_puzzle_that_is_tried_again_and_then_the_oldest(splits):
    puzzles = splits.train.subset(slice(0, 3))
    old = keep(puzzles, np.arange(3), verdict_of([[True, False, True]] * 3, puzzles), "kept")
    new = keep(puzzles.subset([1]), np.array([1]), verdict_of([[False, False, False]], puzzles.subset([1])), "kept")
    pool = admit(old, new, 10)
    assert pool.rows.tolist() == [0, 2, 1] and pool.failed.tolist() == [False, False, True]
    assert admit(old, new, 2).rows.tolist() == [2, 1]
    again = Pool.from_tensors(pool.tensors())
    assert all((a == b).all() for a, b in zip(vars(again).values(), vars(pool).values(), strict=True))


def test_noise_follows_success_in_the_direction_of_its_sign():
    assert next_sigma(0.3, 0.9, 1, 1.0, 0.5) == pytest.approx(0.3 * np.exp(0.4))
    assert next_sigma(0.3, 0.9, -1, 1.0, 0.5) == pytest.approx(0.3 * np.exp(-0.4))
    assert next_sigma(0.3, 0.9, 0, 1.0, 0.5) == 0.3
    assert next_sigma(9.9, 1.0, 1, 5.0, 0.0) == pytest.approx(LARGEST)
    assert next_sigma(1e-3, 0.0, 1, 5.0, 0.5) == pytest.approx(SMALLEST)


def test_stop_rules_need_three_rounds_in_a_row():
    records = [{"yield": y, "corrections": c, "pass_K": p} for y, c, p in
               [(0.3, 0.01, 0.9), (0.01, 0.0, 0.8), (0.0, 0.0, 0.8), (0.0, 0.3, 0.8), (0.3, 0.0, 0.9)]]  # fmt: skip
    assert {name: first_stop(name, records) for name in STOPS} == {"yield": 3, "corrections": 2, "pass_K": 3}
    assert not any(rule(records[:2]) for rule in STOPS.values())


@pytest.mark.parametrize("name", PROPOSERS)
def test_proposers_propose_valid_puzzles_and_go_on_where_they_stood(splits, name):
    data = Data(TASK, splits.train, splits.validation)
    settings = read_part(PROPOSERS, "proposer", {"kind": name})
    one, other = (settings.build(data, 8, 0) for _ in range(2))
    for number in range(2):
        puzzles, rows = one.propose(6, number, np.random.default_rng(number))
        TASK.check(puzzles, lambda i: f"proposal {i}")
        known = rows >= 0
        assert len(puzzles) == len(rows) == 6 and known.all() == known.any() == (name in ("given", "unlabelled"))
        assert (splits.train.inputs[rows[known]] == puzzles.inputs[known]).all()
        assert ((rows[known] < 8) == (name == "given")).all()
        one.observe(np.array([0, 1, 2, 3, 4, 2]), 4)
    other.load({key: value.clone() for key, value in one.tensors().items()})
    ahead = [each.propose(6, 2, np.random.default_rng(9))[0].inputs for each in (one, other)]
    assert (ahead[0] == ahead[1]).all()


def test_walks_may_begin_with_one_solved_board(splits):
    data = Data(TASK, splits.train, splits.validation)
    proposer = read_part(PROPOSERS, "proposer", {"kind": "graph", "board": True, "givens": [5, 8]}).build(data, 8, 0)
    puzzles, _ = proposer.propose(12, 0, np.random.default_rng(0))
    assert ((puzzles.inputs > 1).sum(1) >= 5).all() and ((puzzles.inputs > 1).sum(1) <= 8).all()


@pytest.mark.parametrize("fade", [1.0, 0.5, 0.0])
def test_walks_begin_less_often_where_outcomes_are_old(splits, fade):
    data = Data(TASK, splits.train, splits.validation)
    settings = read_part(PROPOSERS, "proposer", {"kind": "graph", "fade": fade})
    walks, other = (settings.build(data, 8, 0) for _ in range(2))
    assert (walks.weights() == 1).all()
    tried = []
    for number in range(2):
        walks.propose(6, number, np.random.default_rng(number))
        walks.observe(np.full(6, 2), 4)
        tried.append(walks._last)
    old, new = np.setdiff1d(*tried), tried[1]
    assert walks.weights()[old] == pytest.approx(fade / 3) and walks.weights()[new[0]] == pytest.approx(1 / 3)
    other.load({key: value.clone() for key, value in walks.tensors().items()})
    assert (other.weights() == walks.weights()).all()
    other.load({key: value for key, value in walks.tensors().items() if key != "seen"})
    assert other.weights()[old] == pytest.approx(1 / 3)  # an older checkpoint does not know when


def test_proposals_by_learnability_prefer_what_is_half_solved(splits):
    proposer = Given(by="learnability").build(Data(TASK, splits.train, splits.validation), 3, 0)
    proposer.propose(3, 0, np.random.default_rng(0))
    successes = np.array([0, 4, 2])
    proposer.observe(successes, 4)
    half = proposer._last[2]
    drawn = [proposer.propose(1, 1, np.random.default_rng(seed))[1][0] for seed in range(200)]
    assert UNTRIED < 2 * 2 / (4 * 3) and np.mean(np.array(drawn) == half) > 0.85


def recipe(**changes) -> Recipe:
    made = cpu_sudoku(
        TASK, batch_size=BATCH, evaluations=2, budget=1e9, source=SOURCE, hooks={"dream": LOOP}, **changes
    )
    model = made.model | {"hidden_size": 16}
    price = 12 * BATCH * 6 + 2 * DreamSettings(**LOOP).round_units(8, 6)
    return replace(made, model=model, budget=float(price))


def test_batches_hold_the_shares_of_replay_kept_and_failed(splits):
    made = recipe()
    run = assemble(replace(made, source=SOURCE | {"replay": 0.5}), TASK, splits.train, splits.validation)
    first = run.source.batch(3)
    assert (first["rows"] < 8).all() and (first["labels"] != IGNORED).all()
    puzzles = splits.train.subset(slice(20, 23))
    found = verdict_of([[True, False, False], [False, False, False], [True, False, True]], puzzles)
    run.source.pool = keep(puzzles, np.arange(20, 23), found, "kept")
    mixed = run.source.batch(3)
    failed = (mixed["labels"] == IGNORED).all(1)
    assert ((mixed["rows"] < 8).sum(), failed.sum()) == (3, 2) and (mixed["rows"][failed] == 21).all()
    assert torch.equal(mixed["inputs"][:3], first["inputs"][:3])  # what is labelled is dealt as before


def test_untried_puzzles_are_kept_with_their_labels_and_change_no_attempt(splits):
    loop = LOOP | {"verifier": "oracle", "weights": "kept", "puzzles": 6, "proposer": {"kind": "unlabelled"}}
    tried, more = (
        assemble(replace(recipe(), hooks={"dream": loop | {"untried": untried}}), TASK, splits.train, splits.validation)
        for untried in (0, 5)
    )
    for run in (tried, more):
        run.hooks["dream"].round(0, 2)
    pool, dreamer = more.source.pool, more.hooks["dream"]
    assert (len(tried.source.pool), len(pool), len(set(pool.rows))) == (6, 11, 11) and not pool.failed.any()
    assert (pool.answers == splits.train.labels[pool.rows]).all() and (pool.weights == LOOP["rollouts"]).all()
    assert dreamer.proposer.belief.trials.sum() == 6 * LOOP["rollouts"]
    assert dreamer.settings.round_units(8, 6) == tried.hooks["dream"].settings.round_units(8, 6)


def counted(spread, calls, most=None):
    """A spread that counts the pieces it hands on, and dies behind `most` of them."""

    def each(function, pieces):
        for place, made in spread(function, pieces):
            if len(calls) == most:
                raise KeyboardInterrupt
            calls.append(place)
            yield place, made

    return each


def test_a_round_that_is_killed_in_the_middle_makes_only_the_missing_attempts(splits, tmp_path):
    def build(spread):
        run = assemble(recipe(), TASK, splits.train, splits.validation)
        run.hooks["dream"].spread = spread
        return run

    whole = build(here)
    metrics = [*whole.run()]
    kept, calls = tmp_path / "rounds", []
    killed = build(Kept(kept, counted(here, calls, 4)))
    with pytest.raises(KeyboardInterrupt):
        [*killed.run()]
    assert len([*kept.iterdir()]) == len(calls) == 4
    (damaged, *_) = sorted(kept.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:50])
    calls.clear()
    again = build(Kept(kept, counted(here, calls)))
    repeated = [*again.run()]
    pieces = 2 * 2 + 2  # of 36 puzzles two shards, of fresh ones one, with noise and without
    assert len(calls) == 2 * pieces - 3
    plain = [[{n: v for n, v in m.items() if "time/" not in n} for m in found] for found in (metrics, repeated)]
    assert plain[0] == plain[1] and again.hooks["dream"].records == whole.hooks["dream"].records
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name]), name


def test_rounds_of_mazes_tell_paths_of_labels_from_other_shortest_paths(splits, tmp_path):
    task = get_task("maze-5x5")
    mazes = generate_splits(task.name, (24, 8, 8), 0, None, tmp_path)
    plane = np.full((1, 25), OPEN, np.uint8)
    plane[0, [0, 24]] = START, GOAL
    plane = PuzzleSet.of(task.name, plane, label_mazes(plane)[0])
    turned = plane.labels.reshape(5, 5).T.reshape(1, 25)

    def answered(sets, segments, rng):
        """By the label; of the plane also along another shortest path."""
        (tried, fresh), made = sets, []
        for answers in (np.stack([tried.labels, turned], 1), tried.labels[:, None], fresh.labels[:, None].repeat(2, 1),
                        fresh.labels[:, None]):  # fmt: skip
            none = np.zeros(answers.shape[:2])
            made.append(Attempts(answers, none.astype(np.float32), none.astype(bool)))
        return made

    made = replace(recipe(), model=cpu_sudoku(task).model, hooks={"dream": LOOP | {"verifier": "rules"}})
    run = assemble(made, task, mazes.train, mazes.validation)
    dreamer = run.hooks["dream"]
    dreamer.proposer.propose = lambda count, number, rng: (plane, np.array([-1]))
    dreamer.proposer.observe = lambda successes, trials: None
    dreamer._attempts = answered
    dreamer.round(0, 8)
    (found,) = dreamer.records
    assert (found["kept"], found["kept_exact"], found["exact_1"], found["pass_1"]) == (2, 0.5, 1, 1)
    assert len(run.source.pool) == 2 and not found["false_accepts"]
    sudoku = assemble(recipe(), TASK, splits.train, splits.validation)
    assert len([*sudoku.run()]) == 2 and not {"kept_exact", "exact_1"} & sudoku.hooks["dream"].records[0].keys()


def worker(rank: int, folder: str, splits) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)

    def build():
        shared = {"rank": rank, "world": 2, "wrap": DistributedDataParallel}
        return assemble(recipe(), TASK, splits.train, splits.validation, **shared)

    run = build()
    history = run.run()
    next(history)
    Path(folder, "half").mkdir(exist_ok=True)
    run.save(f"{folder}/half", "hash")
    pools = {"first": run.source.pool}
    assert len([*history]) == 1
    dist.barrier()
    resumed = build()
    resumed.load(f"{folder}/half")
    [*resumed.run()]
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert run.hooks["dream"].records == resumed.hooks["dream"].records
    pools |= {"last": run.source.pool, "resumed": resumed.source.pool}
    tensors = {name: pool.tensors() for name, pool in pools.items()}
    torch.save({"pools": tensors, "records": run.hooks["dream"].records}, f"{folder}/rank-{rank}.pt")
    dist.destroy_process_group()


def test_two_workers_share_a_round_and_come_to_what_one_comes_to(splits, tmp_path):
    mp.spawn(worker, args=(str(tmp_path), splits), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt", weights_only=False) for rank in range(2))
    alone = assemble(recipe(), TASK, splits.train, splits.validation)
    history = alone.run()
    next(history)
    for name, value in alone.source.pool.tensors().items():
        assert torch.equal(first["pools"]["first"][name], value), name
    for which in ("last", "resumed"):
        for name, value in first["pools"]["last"].items():
            assert torch.equal(second["pools"][which][name], value), name
    assert first["records"] == second["records"] and len(first["records"]) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"verifier": "tea leaves"}, "verifier 'tea leaves' is unknown: use one of rules, q_head"),
        ({"rollouts": 1, "weights": "learnability"}, "rollouts is 1, and one attempt at a puzzle says nothing"),
        ({"proposer": {"kind": "given", "by": "learnability"}, "rollouts": 1}, "one attempt at a puzzle says nothing"),
        ({"stop": ("boredom",)}, "stop rule 'boredom' is unknown"),
        ({"noise": "sideways"}, "noise of a dream loop 'sideways' is unknown: use one of up, down, constant"),
        ({"accept_wrong": 1.0}, "accept_wrong of a dream loop is 1.0: it is a share"),
        ({"sigma": 0.0}, "its attempts differ by noise"),
        ({"untried": 3}, "untried is 3, and verifier 'everything' judges attempts: use 0, or 'oracle'"),
        ({"proposer": {"kind": "graph", "length": 0}}, "length of a walk is 0"),
        ({"proposer": {"kind": "graph", "fade": 1.5}}, "fade of a walk is 1.5: .* from 0 to 1"),
    ],
)
def test_settings_without_sense_are_refused(changes, says):
    with pytest.raises(InputError, match=says) as refused:
        replace(recipe(), hooks={"dream": LOOP | changes})
    assert "\n" not in str(refused.value)


def test_parts_that_do_not_suit_a_loop_are_refused(splits):
    made, data = recipe(), (TASK, splits.train, splits.validation)
    with pytest.raises(InputError, match="replay is 1.5: it is the share of labelled puzzles in a batch, from 0 to 1"):
        replace(made, source=SOURCE | {"replay": 1.5})
    with pytest.raises(InputError, match="hook 'dream' fills the source 'dream'"):
        assemble(replace(made, source={"kind": "uniform"}), *data)
    with pytest.raises(InputError, match="all 48 training puzzles are labelled"):
        both = {"source": {"kind": "dream"}, "hooks": {"dream": LOOP | {"proposer": {"kind": "unlabelled"}}}}
        assemble(replace(made, **both), *data)
    with pytest.raises(InputError, match="labelled is 49, and the training set has 48 puzzles"):
        assemble(replace(made, source={"kind": "dream", "labelled": 49}), *data)
    with pytest.raises(InputError, match="budget 1000 pays for .* beside the .* of hooks"):
        assemble(replace(made, budget=1000.0), *data)
    srm = replace(
        cpu_sudoku(TASK, "srm_mlp", source=SOURCE, evaluations=1), hooks={"dream": LOOP | {"verifier": "q_head"}}
    )
    with pytest.raises(InputError, match="verifier 'q_head' needs a Q head, and .* has none: use 'rules'"):
        assemble(srm, *data)
    with pytest.raises(InputError, match="counts votes, and rollouts is 2"):
        check("majority", assemble(made, *data).model, 2)


def test_a_loop_that_is_done_ends_the_training(splits, tmp_path):
    loop = LOOP | {"verifier": "rules", "stop": ["yield"], "rounds": 10**5}
    made = replace(recipe(), hooks={"dream": loop}, budget=1e6)
    run = assemble(made, TASK, splits.train, splits.validation)
    metrics = [*run.run()]
    # An untrained model solves nothing, so nothing is kept: three rounds without yield, and their attempts are paid.
    assert metrics[-1]["step"] == run.total_steps == 3 and len(run.hooks["dream"].records) == 3
    run.save(tmp_path, "hash")
    again = assemble(made, TASK, splits.train, splits.validation)
    again.load(tmp_path)
    assert [*again.run()] == []
    assert run.call_units == 3 * 12 * BATCH + 3 * DreamSettings(**loop).round_units(8, 6)
