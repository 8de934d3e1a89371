"""Synthetic evidence: everything that is claimed is there, or nothing of it."""

import numpy as np

from rrm.dynamics.escape import EscapeResult
from rrm.dynamics.stochastic import StochasticResult
from rrm.reports.claims import curricula, dream, grokking, heads, proposals, training
from rrm.reports.claims.evidence import Evidence, Rollouts
from rrm.reports.claims.stability import MODELS
from rrm.statistics import Examples, SweepPoint
from rrm.statistics.training_runs import TrainingRun

SEEDS, N, T, K = (0, 1, 2), 80, 8, 8


def examples(true, seed):
    rng = np.random.default_rng(seed)
    failed = rng.random(N) < 0.4
    # What is claimed goes with the failures, and else with as many other puzzles.
    bad = failed if true else rng.permutation(failed)
    settled = ~bad & (rng.random(N) < 0.5)
    drift = np.exp(rng.normal(0, 0.1, (N, T))) * np.where(settled[:, None], 0.01, 1)
    local = rng.normal(0, 0.05, (N, T)) + np.where(bad[:, None], -0.2, -0.6 if true else -0.25)
    if true:
        local[bad, : T // 2] -= 0.4  # the start basis is still aligning
    exponents = local[:, T // 2 :].mean(1)[:, None] - np.array([0.0, 0.01, 0.02])
    solved_at = np.repeat(~failed[:, None], T, 1)
    solved_at[:, : T - 1] = False  # what tells outcomes apart comes before the answer, which no null knows
    confidence = {"margin": rng.normal(size=N)}
    return Examples(exponents, local, drift, solved_at, confidence, failed.astype(int), transient=T // 2)


PEAKS = {training.BASELINE: 0.6, training.PERTURBED: 0.7, training.PERTURBED_LONG: 0.75, training.COPIES: 0.6,
         training.WINNER: 0.8, training.ALL_LEARN: 0.6, training.RANDOM_LEARNS: 0.6, training.FLOSSED: 0.7}  # fmt: skip


def points(true, seed):
    rng = np.random.default_rng(seed)
    for arm, peak in PEAKS.items():
        best = (peak if true else 0.6) + rng.normal(0, 0.005)
        final = best - (0.2 if true else 0) - abs(rng.normal(0, 0.005))
        halting = {"best_at_halting": best, "final_at_halting": best if true else final}
        yield SweepPoint("trm_mlp", arm, best, final, 512, False, baseline=arm == training.BASELINE, seed=seed,
                         **halting)  # fmt: skip


def rollouts(true, seed):
    rng = np.random.default_rng(seed)
    solved = rng.random((N, K + 1, 1)) < rng.choice([0.1, 0.5, 0.9], N)[:, None, None]
    q = rng.normal(size=solved.shape) + (4 * solved if true else 0)
    growth = rng.normal(size=solved.shape) - (q if true else 0)
    shape = {"residual": growth, "growth": growth, "q_halt": q, "lambda_1": np.full(solved.shape, np.nan)}
    # All halt, the right ones first; the vote goes to a wrong answer that many share.
    stop = np.where(solved & true, 2, 4).astype(np.int32)
    rules = {"stops": "halt", "stop_segment": stop, "stop_rank": q.astype(np.float32)}
    rules |= dict.fromkeys(("stop_solved", "stop_valid", "stop_shortest"), solved)
    noisy = StochasticResult(
        0.3, "z_L", 0, np.array([T]), index=np.arange(N), solved=solved, valid=solved, shortest=solved,
        answer=np.where(solved, 0, 1).astype(np.uint64), settled=np.ones(solved.shape, np.int32),
        finite=np.ones(solved.shape, bool), **{name: array.astype(np.float32) for name, array in shape.items()},
        **rules,
    )  # fmt: skip
    deep = np.zeros((N, K * T), bool)
    deep[: N // 2] = True
    # In half of the null some are gained and as many are lost.
    deep[N // 2 : N // 2 + (20 if true else 5) + seed, 2 * T :] = True
    deep[: 0 if true else 5, 2 * T :] = False
    drift = np.ones(deep.shape, np.float32)
    return Rollouts(noisy, EscapeResult(K * T, 0, np.arange(N), deep, deep, deep, drift, np.ones(N, bool)), T)


def grokking_runs(true, seed):
    """Runs whose weight norm turns early and whose curvature falls before test accuracy rises, or nothing of it."""
    rng = np.random.default_rng(seed)
    steps = np.arange(0, 9001, 25)
    grok = 2000 + 50 * seed

    def run(arm, at, norm, depth=4.0):
        rise = np.clip((steps - at + 950) / 1000, 0, 1)
        fall = 5 * np.exp(-steps / 100) + 1e-3 if true else 1 - 0.95 * rise
        action = 7000 * np.minimum(steps / 1000, 1) if true else steps * 1.0
        curves = {
            "train/accuracy": (steps, np.clip(steps / 100, 0, 1)),
            "test/accuracy": (steps, rise),
            "test/loss": (steps, 10 - 9.9 * rise),
            "probe/weight_norm/total": (steps, norm),
            "probe/path/kinetic_action": (steps, action + 1 + rng.normal(0, 1e-3)),
            "probe/hessian/trace": (steps, fall),
            "gates/effective_depth": (steps, np.full(len(steps), depth + rng.normal(0, 0.01))),
        }
        return TrainingRun(f"{arm}-{seed}", "token_mlp", arm, seed, {}, curves)

    growing, turning = 20 + steps / 100, 60 - np.abs(steps - 500) / 100
    return {
        grokking.DECAY: run(grokking.DECAY, grok, turning if true else growing),
        grokking.NO_DECAY: run(grokking.NO_DECAY, 99999 if true else grok, growing),
        grokking.SLOW: run(grokking.SLOW, 4 * grok if true else 2 * grok, growing),
        grokking.FREE: run(grokking.FREE, grok, turning),
        grokking.PRICED: run(grokking.PRICED, grok, turning, 1.5 if true else 4.0),
    }


def head_numbers(true, seed):
    """A training that few heads carry, and one that moves no farther than chance."""
    rng = np.random.default_rng(seed)
    found = {heads.TOP: 0.9, heads.NEEDED: 0.95, heads.RANDOM: 0.1, heads.DRAWN: 0.12, heads.OTHERS: 0.1,
             heads.CHANGE: 0.3, heads.BY_CHANCE: 0.1,
             heads.BY_NOISE: 0.2, "gini": 0.5, heads.RANK: 4.0, heads.RANK_OF_NOTHING: 8.0}  # fmt: skip
    nothing = {heads.TOP: 0.1, heads.NEEDED: 0.2, heads.CHANGE: 0.1, heads.BY_NOISE: 0.1, "gini": 0.1,
               heads.RANK: 8.0}  # fmt: skip
    return {name: value * (1 + rng.normal(0, 0.01)) for name, value in (found if true else found | nothing).items()}


def of_curricula(true, seed):
    """Easy first beats random pacing, mixed tiers beat that, and p(1-p) beats uniform; or all are alike."""
    rng = np.random.default_rng(seed)
    better = {curricula.EASY: 0.6, curricula.quarter(curricula.EASY): 0.6, curricula.MIXED: 0.7, curricula.P: 0.6}
    others = (curricula.UNIFORM, curricula.UNIFORM_AGAIN, curricula.RANDOM, curricula.RANDOM_AGAIN,
              curricula.quarter(curricula.RANDOM), curricula.quarter(curricula.RANDOM_AGAIN))  # fmt: skip
    for arm, peak in (better | dict.fromkeys(others, 0.5)).items():
        best = (peak if true else 0.5) + rng.normal(0, 0.005)
        yield SweepPoint("trm_mlp", arm, best, best, 512, False, baseline=arm == curricula.UNIFORM, seed=seed)


def of_dream(true, seed):
    """The loop beats true labels and noise, p(1-p) beats the loop, and walks beat fresh puzzles; or all are alike."""
    rng = np.random.default_rng(seed)
    better = {dream.FILTERED: 0.7, dream.FILTERED_AGAIN: 0.7, dream.P: 0.8, dream.GRAPH: 0.6}
    others = (dream.TRUE, dream.NOISY, dream.UNFILTERED, dream.WRONG, dream.FRESH)
    for arm, peak in (better | dict.fromkeys(others, 0.5)).items():
        best = (peak if true else 0.5) + rng.normal(0, 0.005)
        yield SweepPoint("trm_mlp", arm, best, best, 512, False, baseline=arm == dream.FILTERED, seed=seed)


def of_proposals(true, seed):
    """Walks find twice as many useful puzzles as the generator, and blind ones as many; or all are alike."""
    found = {proposals.GRAPH: 200 if true else 100, proposals.BLIND: 100, proposals.FRESH: 100}
    rng = np.random.default_rng(seed)
    return {name: rate * (1 + rng.normal(0, 0.01)) for name, rate in found.items()}


def evidence(true):
    by_seed = {seed: examples(true, seed) for seed in SEEDS}
    rng = np.random.default_rng(0)
    toy = {arm: {seed: 0.7 + (0.2 if true and arm == "pre" else 0) + rng.normal(0, 0.01) for seed in SEEDS}
           for arm in ("none", "pre")}  # fmt: skip
    return Evidence(
        spectra=dict.fromkeys(MODELS, by_seed),
        arms=[point for seed in SEEDS for point in points(true, seed)],
        toy=toy,
        grokking={seed: grokking_runs(true, seed) for seed in SEEDS},
        rollouts={seed: rollouts(true, seed) for seed in SEEDS},
        heads={seed: head_numbers(true, seed) for seed in SEEDS},
        curricula=[point for seed in SEEDS for point in of_curricula(true, seed)],
        dream=[point for seed in SEEDS for point in of_dream(true, seed)],
        proposals={seed: of_proposals(true, seed) for seed in SEEDS},
        runs={"spectra": ["a"], "arms": ["b"], "toy": ["c"], "rollouts": ["d", "e"]},
    )
