"""What noise a perturbation really makes: size, shape and what the next network call gets to see of it.

    python analysis/perturbation_noise.py [--model trm_mlp] [--kind multi4 every_call ...] [--sigma S]

One line for every time and half at which noise is made, in a float32 and in a bfloat16 model. *nominal* is the size
the settings ask for and *realised* the RMS of the difference made to the state; both leave clean rollouts out. *moved*
is the share of entries that changed; a Gaussian has *kurtosis* 3.

*into call* is the RMS of what the noise changes in the input of the next network call, the sum of state and puzzle. A
bfloat16 model rounds that sum to its own precision: a small noise reaches its network enlarged and no longer Gaussian,
however the state is kept.
"""

import argparse
from collections import defaultdict

from rrm.errors import exit_on_bad_input

ROWS, SEGMENTS = 32, 4
# A scale for the kinds that have none of their own.
SIGMA = 1e-3


@exit_on_bad_input
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="trm_mlp", help="model type (default: %(default)s)")
    parser.add_argument("--kind", nargs="+", metavar="NAME", help="perturbations (default: all)")
    parser.add_argument("--sigma", type=float, help=f"noise scale (default: its own, or {SIGMA:g})")
    args = parser.parse_args()

    from rrm.training.perturbation import PERTURBATIONS

    print(f"{'perturbation':<19}{'rollouts':>8}  {'dtype':<9}{'time':<14}{'half':<5}"
          f"{'nominal':>9}{'realised':>10}{'moved_%':>9}{'kurtosis':>9}{'into_call':>11}")  # fmt: skip
    for kind in args.kind or PERTURBATIONS:
        for dtype in ("float32", "bfloat16"):
            for line in lines(kind, args.model, dtype, args.sigma):
                print(line)


def lines(kind: str, model_type: str, dtype: str, sigma: float | None) -> list[str]:
    """The lines of one perturbation in one precision."""
    import torch

    from rrm.models import build
    from rrm.tasks import get_task
    from rrm.training.perturbation import TIMES
    from rrm.training.perturbation import perturbation as perturbation_of
    from rrm.training.recipes import cpu_sudoku

    settings = {"kind": kind}
    if sigma is not None or kind in TIMES:
        settings["sigma"] = SIGMA if sigma is None else sigma
    perturbation = perturbation_of(**settings)
    recipe = cpu_sudoku(get_task("sudoku-6x6"), model_type, perturbation=settings)
    torch.manual_seed(0)
    model = build(recipe.model | {"forward_dtype": dtype}).eval()
    head = f"{kind:<19}{perturbation.trajectories:>8}  {dtype:<9}"
    nominal = {"every_call": model.call_noise, "initial_state": 1.0}  # EqR's
    nominal[perturbation.time] = perturbation.nominal(1.0) or nominal.get(perturbation.time)
    rows = []
    for (time, half), (made, entering) in follow(model, perturbation).items():
        realised = made.square().mean().sqrt()
        kurtosis = made.pow(4).mean() / realised**4
        moved = 100 * (made != 0).double().mean()
        rows.append(f"{head}{time:<14}{half:<5}{nominal[time]:>9.2e}{realised:>10.2e}{moved:>9.1f}{kurtosis:>9.2f}"
                    f"{entering.square().mean().sqrt():>11.2e}")  # fmt: skip
    return rows or [f"{head}no noise"]


def follow(model, perturbation) -> dict:
    """{(time, half): (differences made to the state, and what they change in the next call's input)}, float64."""
    import torch

    from rrm.models import State

    generator, made, entering = torch.Generator().manual_seed(0), defaultdict(list), defaultdict(list)
    clean = ROWS * (perturbation.trajectories - perturbation.perturbed)
    # A model with noise of its own has it on every row.
    clean = 0 if model.call_noise else clean
    calls = model.segment_calls
    with torch.no_grad():
        puzzles = torch.randint(1, model.config.vocab_size, (ROWS, model.config.seq_len), generator=generator)
        x = model.embed(puzzles, torch.zeros(ROWS)).repeat(perturbation.trajectories, 1, 1)

        def record(time: str, before: State, after: State, call: str) -> State:
            # As a clean rollout beside it would be summed.
            still = State(*(old.to(new.dtype) for old, new in zip(before, after, strict=True)))
            change = model.inject(call, after, x).double() - model.inject(call, still, x).double()
            for half, old, new in zip(State._fields, before, after, strict=True):
                if new is not old:
                    made[time, half].append((new.double() - old.double())[clean:])
                    entering[time, half].append(change[clean:])
            return after

        noise = perturbation.noise(ROWS, generator)
        state = model.initial_state(len(x), generator)
        if model.config.random_start:
            record("initial_state", State(*(torch.zeros_like(half) for half in state)), state, calls[0])
        state = record("initial_state", state, noise.start(state), calls[0])
        for _ in range(SEGMENTS):
            state = record("every_segment", state, noise.segment(state), calls[0])
            for half, following in zip(calls, calls[1:] + calls[:1], strict=True):
                out = model.network(half)(model.inject(half, state, x))
                own, model.call_noise = model.call_noise, 0.0
                quiet = model.update(half, state, out)
                model.call_noise = own
                if own:
                    state = record("every_call", quiet, model.update(half, state, out, generator), following)
                else:
                    state = record("every_call", quiet, noise.call(half, quiet), following)
    return {key: (torch.cat(made[key]), torch.cat(entering[key])) for key in made}


if __name__ == "__main__":
    main()
