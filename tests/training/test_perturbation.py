"""The contract of every registered perturbation, seen from outside: what happened to the states between calls."""

import runpy
import sys
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
CASES = [(name, settings) for name, settings in NAMED.items()]
CASES += [(time, {"sigma": 0.05, "copies": 2, "location": half}) for time in TIMES for half in ("z_H", "z_L")]


def make_objective(perturbation, model="trm_mlp", dtype="float32", **settings):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build(cpu_sudoku(TASK, model).model | {"hidden_size": 32, "forward_dtype": dtype} | settings)
    if network.carries_state:
        return DeepSupervision(network, perturbation, DeepSupervisionSettings(halt_exploration_prob=0.0))
    assert network.config.H_cycles == SEGMENTS
    return LastStepSupervision(network, perturbation, LastStepSettings(prob_detach_prev_H=0.0))


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

    Call 0 is compared with the clean initial state. And the metrics of the last step.
    """
    calls, step = [], objective.model.step

    def spy(half, state, x, generator):
        out = step(half, state, x, generator)
        calls.append((half, state, out))
        return out

    objective.model.step = spy
    _, metrics, *_ = run_segments(objective)
    assert not objective.model.q_learning  # the calls that look ahead do not follow each other
    previous = State(*objective.model.initial_state(objective.perturbation.trajectories * ROWS))
    found, before = [], None
    for number, (half, entering, leaving) in enumerate(calls):
        made = State(*(a.detach().float() - b.float() for a, b in zip(entering, previous, strict=True)))
        found.append((number, before, made))
        previous, before = leaving.detach(), f"z_{half}"
    return found, metrics


@pytest.mark.parametrize(("model", "dtype"), [("trm_mlp", "float32"), ("trm_mlp", "bfloat16"), ("srm_mlp", "float32")])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_only_the_named_half_moves_at_the_named_time_by_the_nominal_amount(name, settings, model, dtype):
    perturbation = perturbation_of(name, **settings)
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
    settings = {"sigma": 0.0, "copies": 3, "clean_share": 0.5, "sigma_low": 1e-5}
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
    losses = []
    for seed, other in ((0, 1), (0, 2), (1, 2)):
        objective = make_objective(perturbation, model)
        torch.manual_seed(other)
        state = torch.get_rng_state()
        losses.append(run_segments(objective, seed)[0].item())
        assert torch.equal(state, torch.get_rng_state())
    assert losses[0] == losses[1] and (losses[1] != losses[2]) == (perturbation.perturbed > 0)


@pytest.mark.parametrize(("name", "settings"), NAMED.items())
def test_cost_is_stated(name, settings):
    perturbation = perturbation_of(name, **settings)
    recipe = cpu_sudoku(TASK, budget=1e6, perturbation={"kind": name, **settings})
    model = build(recipe.model)
    assert recipe.units_per_step(model) == 12 * 32 * perturbation.trajectories
    counted, step = [], model.step
    model.step = lambda half, state, *args: counted.append(len(state.z_H)) or step(half, state, *args)
    batch, objective = make_batch(), DeepSupervision(model, perturbation)
    objective(objective.initial_carry(batch), batch, torch.Generator())
    assert sum(counted) == 6 * ROWS * perturbation.trajectories  # forward calls; backward is charged twice the last 3


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


@pytest.mark.parametrize(("model", "dtype"), [("trm_mlp", "bfloat16"), ("srm_mlp", "float32")])
def test_a_run_with_every_law_resumes_bit_for_bit(splits, tmp_path, model, dtype):
    torch.set_num_threads(1)
    law = {"sigma": 0.1, "copies": 2, "sigma_low": 1e-3, "clean_share": 0.3, "warmup": 0.1, "ramp": 0.6}
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
        (lambda: perturbation_of("multi4", size=1), "perturbation 'multi4' has no setting 'size'"),
        (lambda: perturbation_of("initial_state", time="every_call"), "no setting 'time'"),
        (lambda: perturbation_of("eqr", sigma=0.1), "'eqr' has no setting 'sigma': it has none"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        change()
