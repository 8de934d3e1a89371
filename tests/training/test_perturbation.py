"""The contract of every registered perturbation, seen from outside: what happened to the states between calls."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rrm.errors import InputError
from rrm.halves import halves
from rrm.models import State, build
from rrm.tasks import get_task
from rrm.tasks.splits import generate_splits
from rrm.training.assemble import assemble
from rrm.training.deep_supervision import DeepSupervision, DeepSupervisionSettings
from rrm.training.last_step import LastStepSettings, LastStepSupervision
from rrm.training.noise import FACTORS
from rrm.training.perturbation import EQR, PERTURBATIONS, TIMES, TrajectoryPerturbation
from rrm.training.perturbation import perturbation as perturbation_of
from rrm.training.recipe import Recipe
from rrm.training.recipes import cpu_sudoku

TASK = get_task("sudoku-4x4")
ROWS, SEGMENTS = 8, 2

# Every registered name, those without a scale of their own at one.
NAMED = {name: {"sigma": 0.05} if name in TIMES else {} for name in PERTURBATIONS}
SELECTING = {"copies": 2, "start": "vectors", "learns": "best"}
CASES = [(name, settings) for name, settings in NAMED.items()]
CASES += [(time, {"sigma": 0.05, "copies": 2, "location": half}) for time in TIMES for half in ("z_H", "z_L")]
CASES += [(time, {"sigma": 0.05} | SELECTING) for time in TIMES]


def make_objective(perturbation, model="trm_mlp", dtype="float32", **settings):
    """The objective of the model, with what it has of the perturbation."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build(cpu_sudoku(TASK, model).model | {"hidden_size": 32, "forward_dtype": dtype} | settings)
    if network.carries_state:
        return DeepSupervision(network, perturbation, DeepSupervisionSettings(halt_exploration_prob=0.0))
    assert network.config.H_cycles == SEGMENTS
    alone = replace(perturbation, share_H=False)
    return LastStepSupervision(network, alone, LastStepSettings(prob_detach_prev_H=0.0))


def make_batch():
    puzzles = torch.randint(1, 6, (ROWS, 16), generator=torch.Generator().manual_seed(3))
    return {
        "inputs": puzzles,
        "labels": puzzles,
        "puzzle_identifiers": torch.zeros(ROWS, dtype=torch.int64),
        "rows": torch.arange(ROWS),
    }


def run_segments(objective, seed=0):
    """SEGMENTS segments of training steps -> (last loss, last metrics, carry, generator)."""
    batch, generator = make_batch(), torch.Generator().manual_seed(seed)
    carry = objective.initial_carry(batch)
    for _ in range(SEGMENTS if objective.model.carries_state else 1):
        loss, carry, outcome = objective(carry, batch, generator)
    return loss, outcome.sums, carry, generator


def differences(objective):
    """What happened to the state before each call: [(number of the call, half of the call before it, differences)].

    Call 0 is compared with the start before any noise. And the metrics of the last step.
    """
    calls, step = [], objective.model.step
    rollouts = objective.trajectories * ROWS

    def spy(half, state, x, generator):
        out = step(half, state, x, generator)
        if len(x) == rollouts:  # of those that run, not of those that learn and run again
            calls.append((half, state, out))
        return out

    objective.model.step = spy
    _, metrics, *_ = run_segments(objective)
    assert not objective.model.q_learning  # the calls that look ahead do not follow each other
    previous = objective.start(ROWS, TrajectoryPerturbation().noise(ROWS, None), None)
    found, before = [], None
    for number, (half, entering, leaving) in enumerate(calls):
        made = State(*(a.detach().float() - b.float() for a, b in zip(entering, previous, strict=True)))
        found.append((number, before, made))
        previous, before = leaving.detach(), f"z_{half}"
    return found, metrics


@pytest.mark.parametrize(("model", "dtype"), [("trm_mlp", "float32"), ("trm_mlp", "bfloat16"), ("srm_mlp", "float32")])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_only_the_named_half_moves_at_the_named_time_by_the_nominal_amount(name, settings, model, dtype):
    perturbation = replace(perturbation_of(name, **settings), share_H=False)
    objective = make_objective(perturbation, model, dtype)
    segment = len(objective.model.segment_calls)
    clean = ROWS * (perturbation.trajectories - perturbation.perturbed)
    squares = {half: [] for half in State._fields}
    found, metrics = differences(objective)
    for number, before, difference in found:
        for half, made in difference._asdict().items():
            due = {
                "initial_state": number == 0,
                "every_segment": number % segment == 0,
                "every_call": half == before,
            }[perturbation.time]
            due = due and perturbation.perturbed > 0 and half in halves(perturbation.location)
            assert not made[:clean].any() and bool(made.any()) == due, (number, half)
            if due:
                squares[half].append(made[clean:].square().mean())
                # 4,096 Gaussians at the least
                assert made[clean:].std() == pytest.approx(perturbation.nominal(1.0), rel=0.05)
    for half, made in squares.items():
        expected = perturbation.nominal(1.0) if made else 0.0
        assert metrics[f"realised_sigma_{half}"].item() == pytest.approx(expected, rel=0.05)
        assert not made or torch.stack(made).mean().sqrt().item() == pytest.approx(expected, rel=0.02)


def gradients(objective):
    """The loss of a run and the gradients of its last step, by parameter."""
    loss, *_ = run_segments(objective)
    loss.backward()
    return loss.item(), {name: p.grad for name, p in objective.named_parameters() if p.grad is not None}


def same(a, b, atol=0.0):
    return a.keys() == b.keys() and all(torch.allclose(a[name], b[name], rtol=0, atol=atol) for name in a)


@pytest.mark.parametrize("model", ["trm_mlp", "hrm", "srm_mlp"])
@pytest.mark.parametrize("name", [name for name in NAMED if name not in ("eqr", "clean_copies")])
def test_zero_is_bitwise_the_unperturbed_training_and_draws_what_it_draws(name, model):
    settings = {"sigma": 0.0, "copies": 3, "clean_share": 0.5, "sigma_low": 1e-5, "start": "model"}
    plain = make_objective(TrajectoryPerturbation(), model)
    zero = make_objective(perturbation_of(name, **settings), model)
    states = [run_segments(objective)[3].get_state() for objective in (plain, zero)]
    assert zero.perturbation.trajectories == 1 and torch.equal(*states)
    (loss, gradient), (expected, reference) = gradients(zero), gradients(plain)
    assert loss == expected and same(gradient, reference)


@pytest.mark.parametrize("model", ["hrm", "srm_mlp"])
@pytest.mark.parametrize(("name", "settings"), NAMED.items())
def test_noise_depends_on_the_given_generator_alone(name, settings, model):
    perturbation = perturbation_of(name, **settings)
    drawn, losses = perturbation.perturbed > 0 or perturbation.learns == "random", []
    for seed, other in ((0, 1), (0, 2), (1, 2)):
        objective = make_objective(perturbation, model)
        torch.manual_seed(other)
        state = torch.get_rng_state()
        losses.append(run_segments(objective, seed)[0].item())
        assert torch.equal(state, torch.get_rng_state())
    assert losses[0] == losses[1] and (losses[1] != losses[2]) == drawn


@pytest.mark.parametrize("model", ["trm_mlp", "hrm", "srm_mlp"])
@pytest.mark.parametrize(("name", "settings"), NAMED.items())
def test_a_step_costs_the_calls_that_it_runs_forward_and_twice_those_that_it_runs_backward(name, settings, model):
    if model == "srm_mlp" and perturbation_of(name, **settings).share_H:
        settings = {**settings, "share_H": False}
    made = {"kind": name, **settings}
    recipe = cpu_sudoku(TASK, model, budget=1e6, perturbation=made, prob_detach_prev_H=0.0, growth={})
    objective = make_objective(recipe.perturbed, model)
    forward, backward = [], []

    def count(network, args, out):
        forward.append(len(out))
        if out.requires_grad:
            out.register_hook(lambda gradient: backward.append(len(gradient)))

    for network in {objective.model.network(half) for half in ("H", "L")}:
        network.register_forward_hook(count)
    batch = make_batch()
    loss, *_ = objective(objective.initial_carry(batch), batch, torch.Generator())
    loss.backward()
    assert recipe.units(objective.model, 1, 1) * ROWS == sum(forward) + 2 * sum(backward)
    assert recipe.units_per_step(objective.model) == recipe.units(objective.model, 1, 1) * 32


def test_the_price_of_four_rollouts_of_which_one_learns():
    settings = DeepSupervisionSettings()
    for winner, all_learn, cycles in ((33, 48, {}), (105, 140, {"H_cycles": 3, "L_cycles": 6})):
        model = build(cpu_sudoku(TASK).model | cycles)
        for name, units in (("winner_take_all", winner), ("random_learns", winner), ("all_learn", all_learn)):
            assert settings.puzzle_units(perturbation_of(name), model, {}, 1, 1) == units


@pytest.fixture
def learners(monkeypatch):
    """The rows of all trajectories that learned, of every step."""
    rows, learner = [], TrajectoryPerturbation.learner

    def spy(perturbation, losses, generator):
        found = learner(perturbation, losses, generator)
        rows.append(found * ROWS + torch.arange(ROWS))
        return found

    monkeypatch.setattr(TrajectoryPerturbation, "learner", spy)
    return rows


@pytest.mark.parametrize(("model", "dtype"), [("trm_mlp", "bfloat16"), ("hrm", "float32"), ("srm_mlp", "float32")])
@pytest.mark.parametrize("time", TIMES)
def test_the_calls_of_the_learner_run_again_from_the_same_states_to_the_same_ones(learners, time, model, dtype):
    law = {"sigma": 0.1, "copies": 3, "start": "fresh", "learns": "random", "clean_share": 0.3, "sigma_low": 1e-3}
    objective = make_objective(TrajectoryPerturbation(time=time, **law), model, dtype)
    calls, step = {4 * ROWS: [], ROWS: []}, objective.model.step

    def spy(half, state, x, generator):
        out = step(half, state, x, generator)
        calls[len(x)].append((torch.is_grad_enabled(), *state.detach(), *out.detach()))
        return out

    objective.model.step = spy
    # A matrix product may round a row by how many others there are.
    objective.model.network = lambda half: lambda u: u / 2
    batch, generator = make_batch(), torch.Generator().manual_seed(0)
    objective(objective.initial_carry(batch), batch, generator)
    again = [states for recorded, *states in calls[ROWS] if recorded]
    assert len(again) == (objective.model.grad_calls if objective.model.carries_state else 4)
    for (recorded, *states), mine in zip(calls[4 * ROWS][-len(again) :], again, strict=True):
        assert not recorded
        assert all(torch.equal(a[learners[0]], b) for a, b in zip(states, mine, strict=True))


def plain_step(objective, carry, rows):
    """The step of plain training from the states of some rows of a carry -> (losses by puzzle, loss, gradients)."""
    plain = DeepSupervision(objective.model, TrajectoryPerturbation(), objective.settings)
    state = State(*(half[rows] for half in carry.state))
    objective.zero_grad()
    loss, _, outcome = plain(replace(carry, state=state, trajectories=1), make_batch(), torch.Generator())
    loss.backward()
    return outcome.rows["loss"], loss.item(), {name: p.grad.clone() for name, p in objective.named_parameters()}


@pytest.mark.parametrize("model", ["trm_mlp", "hrm"])
@pytest.mark.parametrize("name", ["winner_take_all", "winner_own_H", "random_learns"])
def test_a_step_is_plain_training_on_the_trajectory_that_learns(learners, name, model):
    objective, batch, generator = make_objective(perturbation_of(name), model), make_batch(), torch.Generator()
    _, carry, _ = objective(objective.initial_carry(batch), batch, generator)
    assert not carry.halted.any() and len(learners[0].div(ROWS, rounding_mode="floor").unique()) > 1

    # Unless z_H is shared every trajectory goes on from its own state, and z_L always is its own.
    apart = make_objective(perturbation_of(name, share_H=False), model)
    state = apart(apart.initial_carry(batch), batch, torch.Generator())[1].state
    z_H = state.z_H[learners[0]].repeat(4, 1, 1) if objective.perturbation.share_H else state.z_H
    assert torch.equal(carry.state.z_H, z_H) and torch.equal(carry.state.z_L, state.z_L)
    del learners[1:]

    objective.zero_grad()
    loss, after, outcome = objective(carry, batch, generator)
    loss.backward()
    gradient = {name: p.grad.clone() for name, p in objective.named_parameters()}
    found, expected, reference = plain_step(objective, carry, learners[1])
    assert loss.item() == pytest.approx(expected, rel=1e-6) and same(gradient, reference, atol=1e-7)
    assert torch.allclose(outcome.rows["loss"], found)
    losses = torch.stack([plain_step(objective, carry, torch.arange(ROWS) + k * ROWS)[0] for k in range(4)])
    lowest = losses.argmin(0) * ROWS + torch.arange(ROWS)
    assert torch.equal(learners[1], lowest) == (name != "random_learns")


@pytest.mark.parametrize("model", ["trm_mlp", "hrm"])
def test_the_learner_or_the_first_ends_a_puzzle(learners, model):
    for halts in ("learner", "first"):
        objective = make_objective(perturbation_of("random_learns", halts=halts, share_H=False), model)
        head = objective.model.q_head
        torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(1))
        torch.nn.init.zeros_(head.bias)
        batch = make_batch()
        objective.settings = DeepSupervisionSettings(halt_exploration_prob=0.0)
        _, carry, _ = objective(objective.initial_carry(batch), batch, torch.Generator().manual_seed(0))
        readout = objective.model.readout(carry.state)
        wants = readout.q_halt > (readout.q_continue if objective.model.q_learning else 0)
        first = wants[:ROWS]
        assert not torch.equal(wants[learners[-1]], first)
        assert torch.equal(carry.halted, first if halts == "first" else wants[learners[-1]])


def test_where_far_rollouts_start():
    rollouts = {}
    for name, law, seed in (
        ("vectors", {"sigma": 0.1, "location": "z_H"}, 0),
        ("again", {}, 0),
        ("another seed", {}, 1),
        ("fresh", {"start": "fresh"}, 0),
        ("all fresh", {"start": "fresh", "clean_branch": False, "copies": 4}, 0),
    ):
        perturbation = TrajectoryPerturbation(**{"start": "vectors", "copies": 3} | law)
        torch.manual_seed(0)
        model = build(cpu_sudoku(TASK).model | {"hidden_size": 512})
        objective = DeepSupervision(model, perturbation, seed=seed)
        generator = torch.Generator().manual_seed(0)
        state = objective.start(ROWS, objective.noise(ROWS, generator), generator)
        rollouts[name] = state.z_L.unflatten(0, (4, ROWS))
        own = model.initial_state(4 * ROWS)
        assert torch.equal(state.z_H, own.z_H) == (name != "vectors")
        assert torch.equal(rollouts[name][0], own.z_L[:ROWS]) == (name != "all fresh")
    vectors, again, another, fresh, all_fresh = rollouts.values()
    assert torch.equal(vectors, again) and not (vectors[1:] == another[1:]).any()
    assert torch.equal(vectors, vectors[:, :1, :1].expand_as(vectors))  # over puzzles and positions
    assert vectors[1:].std() == pytest.approx(1, rel=0.05) and vectors.flatten(1).unique(dim=0).shape[0] == 4
    for noise in (fresh[1:], all_fresh):
        assert noise.std() == pytest.approx(1, rel=0.01) and noise.unique().numel() > 0.9 * noise.numel()


def test_clean_copies_train_what_one_rollout_trains():
    control = make_objective(perturbation_of("clean_copies", copies=3))
    plain = make_objective(TrajectoryPerturbation())
    states = [run_segments(objective)[3].get_state() for objective in (control, plain)]
    assert control.perturbation.trajectories == 4 and torch.equal(*states)
    (loss, gradient), (expected, reference) = gradients(control), gradients(plain)
    assert loss == pytest.approx(expected, abs=1e-5) and same(gradient, reference, atol=1e-5)


@pytest.mark.parametrize("model", ["trm_mlp", "hrm", "srm_mlp"])
def test_noise_at_every_call_is_that_of_eqr(model):
    """The model's own noise drawn by `update`, of equal size and from the same numbers: same loss, same gradients."""
    perturbation = TrajectoryPerturbation(0.01, time="every_call", clean_branch=False)
    ours, eqr = make_objective(perturbation, model), make_objective(TrajectoryPerturbation(), model, call_noise=0.01)
    (loss, gradient), (expected, reference) = gradients(ours), gradients(eqr)
    assert loss == expected and same(gradient, reference)
    assert loss != gradients(make_objective(TrajectoryPerturbation(), model))[0]


@pytest.mark.parametrize(("low", "share"), [(1e-3, 0.0), (None, 0.4), (1e-3, 0.4)])
def test_laws_that_draw_a_scale_per_trajectory(low, share):
    law = TrajectoryPerturbation(0.1, copies=3, sigma_low=low, clean_share=share)
    factors = law.noise(20_000, torch.Generator().manual_seed(0)).drawn[FACTORS]
    scales = (0.1 * factors).double()
    assert scales.square().mean().sqrt() == pytest.approx(law.nominal(1.0), rel=0.01)
    clean, noisy = scales == 0, scales[scales > 0]
    assert clean.double().mean() == pytest.approx(share, abs=0.01)
    if low:
        logs = noisy.log10()  # uniform on -3 ... -1
        assert logs.min() >= -3 - 1e-6 and logs.max() <= -1 + 1e-6
        assert logs.mean() == pytest.approx(-2, abs=0.02) and logs.std() == pytest.approx(2 / 12**0.5, rel=0.02)
    else:
        assert noisy.unique().numel() == 1


def test_a_trajectory_keeps_its_scale_until_it_is_refilled():
    law = TrajectoryPerturbation(0.1, copies=2, time="every_segment", sigma_low=1e-3)
    objective = make_objective(law)
    batch, generator = make_batch(), torch.Generator().manual_seed(0)
    _, carry, _ = objective(objective.initial_carry(batch), batch, generator)
    first = carry.data[FACTORS]
    assert first.shape == (ROWS, 2) and first.unique().numel() == 2 * ROWS
    carry.halted = torch.arange(ROWS) == 5
    entered, step, before = [], objective.model.step, carry.state
    objective.model.step = lambda half, state, *args: entered.append(state) or step(half, state, *args)
    _, carry, _ = objective(carry, batch, generator)
    same = (carry.data[FACTORS] == first).all(1)
    assert same.tolist() == [row != 5 for row in range(ROWS)]
    made = (entered[0].z_L - before.z_L).view(3, ROWS, -1)[:, same]
    expected = 0.1 * first[same].T  # [trajectory, row]; 512 Gaussians each
    assert torch.allclose(made[1:].std(-1), expected, rtol=0.15) and not made[0].any()


def test_warm_up_and_ramp():
    law = TrajectoryPerturbation(0.1, clean_branch=False, warmup=0.2, ramp=0.5)
    assert [law.level(p) for p in (0.0, 0.19, 0.2, 0.45, 0.7, 1.0)] == pytest.approx([0, 0, 0, 0.05, 0.1, 0.1])
    assert TrajectoryPerturbation(0.1, warmup=0.5).level(0.5) == 0.1
    losses = []
    for perturbation, progress in ((TrajectoryPerturbation(), 0.0), (law, 0.1), (law, 0.5)):
        objective = make_objective(perturbation)
        objective.progress = progress
        loss, metrics, *_ = run_segments(objective)
        losses.append(loss.item())
    assert losses[0] == losses[1] != losses[2]
    assert metrics["realised_sigma"].item() == pytest.approx(0.06, rel=0.02)


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return generate_splits(TASK.name, (48, 16, 16), 0, (6, 9), tmp_path_factory.mktemp("puzzles"))


@pytest.mark.parametrize(
    ("model", "dtype", "law"),
    [
        ("trm_mlp", "bfloat16", {}),
        ("srm_mlp", "float32", {}),
        ("trm_mlp", "bfloat16", {"start": "vectors", "learns": "best", "share_H": True}),
        ("hrm", "float32", {"start": "fresh", "learns": "random", "halts": "first"}),
        ("srm_mlp", "float32", {"start": "fresh", "learns": "best"}),
    ],
)
def test_a_run_with_every_law_resumes_bit_for_bit(splits, tmp_path, model, dtype, law):
    torch.set_num_threads(1)
    law = {"sigma": 0.1, "copies": 2, "sigma_low": 1e-3, "clean_share": 0.3, "warmup": 0.1, "ramp": 0.6} | law
    changes = {"batch_size": 4, "evaluations": 3, "perturbation": {"kind": "every_call", **law}}
    settings = cpu_sudoku(TASK, model, **changes).to_dict()
    settings["model"] |= {"forward_dtype": dtype, "hidden_size": 32}
    settings["budget"] = 6.5 * Recipe(**settings).units_per_step(build(settings["model"]))

    def make():
        return assemble(Recipe(**settings), TASK, splits.train, splits.validation)

    unbroken, broken, resumed = make(), make(), make()
    metrics = [*unbroken.run()]
    next(broken.run())
    broken.save(tmp_path, "hash")
    resumed.load(tmp_path)
    torch.manual_seed(99)
    rest = [*resumed.run()]
    for name in ("train/loss", "perturbation/realised_sigma", "perturbation/realised_sigma_z_L"):
        assert [m[name] for m in rest] == [m[name] for m in metrics[1:]]
    for name, value in unbroken.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert metrics[0]["perturbation/realised_sigma"] < metrics[-1]["perturbation/realised_sigma"]
    assert 0 < metrics[-1]["perturbation/realised_sigma"] < 0.1


@pytest.mark.parametrize("model", ["trm_att", "hrm", "srm_mlp"])
def test_eqr_is_the_model(model):
    recipe = cpu_sudoku(TASK, model, perturbation={"kind": "eqr"})
    network = build(recipe.model)
    assert recipe.model.items() >= EQR.items() and Recipe(**recipe.to_dict()) == recipe
    assert (network.damping, network.call_noise) == (0.95, 0.01)
    starts = [network.initial_state(2, torch.Generator().manual_seed(seed)).z_L for seed in (0, 0, 1)]
    assert torch.equal(starts[0], starts[1]) and not torch.equal(starts[1], starts[2])
    assert perturbation_of("eqr") == TrajectoryPerturbation()


def test_table_of_realised_noise(capsys, monkeypatch):
    script = Path(__file__).resolve().parents[2] / "analysis" / "perturbation_noise.py"
    monkeypatch.setattr(sys, "argv", ["", "--kind", "single", "eqr", "clean_copies", "--model", "srm_mlp"])
    torch.set_num_threads(1)
    runpy.run_path(str(script), run_name="__main__")
    head, *lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    single, eqr, control = (
        [dict(zip(head, line, strict=False)) for line in lines if line[0] == name]
        for name in ("single", "eqr", "clean_copies")
    )
    assert [line["half"] for line in single] == ["z_H", "z_L"] * 2 and len(eqr) == 8 and len(control) == 2
    for line in single + eqr:
        assert float(line["realised"]) == pytest.approx(float(line["nominal"]), rel=0.02)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: TrajectoryPerturbation(location="z"), "location 'z' is unknown: use one of both, z_H, z_L"),
        (lambda: TrajectoryPerturbation(time="never"), "time 'never' is unknown"),
        (lambda: TrajectoryPerturbation(0.1, sigma_low=0.2), "sigma_low is 0.2: it must be positive and not above"),
        (lambda: TrajectoryPerturbation(0.1, clean_share=1.0), "clean_share is 1.0"),
        (lambda: TrajectoryPerturbation(0.1, warmup=0.6, ramp=0.5), "warmup 0.6 and ramp 0.5 are shares of training"),
        (lambda: TrajectoryPerturbation(start="far"), "start 'far' is unknown: use one of model, vectors, fresh"),
        (lambda: TrajectoryPerturbation(learns="worst"), "learns 'worst' is unknown: use one of all, best, random"),
        (lambda: TrajectoryPerturbation(start="vectors", clean_branch=False), "start 'vectors' without clean_branch"),
        (lambda: TrajectoryPerturbation(share_H=True), "share_H is True, and learns 'all' has no single learner"),
        (lambda: TrajectoryPerturbation(halts="first"), "halts is first, and learns 'all' has no single learner"),
        (
            lambda: make_objective(perturbation_of("winner_own_H"), call_noise=0.01),
            "learns 'best' runs calls again, and a model with call_noise has other noise then",
        ),
        (
            lambda: LastStepSupervision(
                build(cpu_sudoku(TASK, "srm_mlp").model), perturbation_of("winner_take_all"), LastStepSettings()
            ),
            "share_H is for the next step, and objective 'last_step' starts every rollout anew",
        ),
        (lambda: perturbation_of("multi4", size=1), "perturbation 'multi4' has no setting 'size'"),
        (lambda: perturbation_of("initial_state", time="every_call"), "no setting 'time'"),
        (lambda: perturbation_of("eqr", sigma=0.1), "'eqr' has no setting 'sigma': it has none"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        change()
