"""Does a training that is about to generalise expand nearby trainings faster than one that never will?

    python analysis/training_stability.py --out DIR                      # ten seeds, four arms: seven minutes of a core
    python analysis/training_stability.py --out DIR --preset smoke       # a minute
    python analysis/training_stability.py --out DIR --window 0 1700      # the tangent from the first step to the last
    python analysis/training_stability.py --storage runs                 # and every training as a run of that store

Trains a small network on addition mod 31, full batch, in float64, and carries a tangent of the optimizer's own map
(weights and moments) along. Prints growth rates by phase, at matched training loss, in four norms and beside a twin
training; writes training_stability.jsonl (a line a training; trainings that are there are not repeated) and
training_stability.png. `rrm/toys/training_stability.py` explains the arms.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from rrm.commands.options import RawText, check_storage
from rrm.doctor.storage import output_folder
from rrm.errors import InputError, OneLineParser, exit_on_bad_input
from rrm.paths import user_path

if TYPE_CHECKING:  # torch comes after the options were checked
    from rrm.toys.training_stability import StabilityRun

EXPERIMENT = "training_stability"
# What the series of a training are called in a store, where the names of other trainings say the same.
SERIES = {"weight_norm": "probe/weight_norm/total", "gini": "probe/fourier/gini"}
SMOKE = {"p": 13, "steps": 200, "window": (0, 150), "settle": 50, "plateau": 75, "twin_steps": 20}
PRESETS = {"study": {}, "smoke": SMOKE}


def parse(argv: list[str] | None = None):
    parser = OneLineParser(description=__doc__, formatter_class=RawText)
    add = parser.add_argument
    add("--out", type=output_folder, default=".", metavar="DIR", help="folder of the results (default: here)")
    add("--preset", default="study", help="study, or smoke: p 13 and 200 steps (default: %(default)s)")
    add("--seeds", type=int, metavar="N", help="of each arm (default: 10, of the smoke preset 2)")
    add("--arms", nargs="+", metavar="ARM", help="default: all four")
    add("--activation", default="gelu", help="gelu or relu; relu makes twins jump (default: %(default)s)")
    add("--window", nargs=2, type=int, metavar="STEP", help="carry the tangent between these (default: the preset's)")
    add("--storage", type=user_path, metavar="DIR", help="also log every training as a run of the MLflow store of this "
        "folder, for the explorer")  # fmt: skip
    args = parser.parse_args(argv)
    if args.storage:
        check_storage(args.storage)
    if args.preset not in PRESETS:
        raise InputError(f"--preset {args.preset!r} is unknown: use one of {', '.join(PRESETS)}")
    if args.seeds is None:
        args.seeds = 2 if args.preset == "smoke" else 10
    if args.seeds < 1:
        raise InputError(f"--seeds {args.seeds} is too few: use 1 or more, 5 or more for a verdict")
    return args


def stored(path: Path) -> list:
    """The trainings of an earlier call; a line that was cut off is measured again."""
    from rrm.toys.training_stability import StabilityRun

    names, found = {field.name for field in fields(StabilityRun)}, []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and values.keys() == names:
            found.append(StabilityRun(**values))
    return found


@exit_on_bad_input
def main() -> None:
    args = parse()
    import torch

    from rrm.figures.style import save
    from rrm.figures.training_stability import training_stability_figure
    from rrm.reports.training_stability import running_rate, stability_lines
    from rrm.toys.training_stability import ARMS, StabilitySetting, measure_training

    changes = PRESETS[args.preset] | {"activation": args.activation}
    if args.window:
        changes |= {"window": tuple(args.window)}
    setting, arms = StabilitySetting(**changes), args.arms or list(ARMS)
    if unknown := set(arms) - ARMS.keys():
        raise InputError(f"--arms {sorted(unknown)[0]!r} is unknown: use some of {', '.join(ARMS)}")
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "training_stability.jsonl"
    plain = json.loads(json.dumps(asdict(setting)))
    runs = {(run.arm, run.seed): run for run in stored(path) if run.setting == plain}
    with path.open("a", encoding="utf-8") as file:
        for seed in range(args.seeds):
            for arm in arms:
                if (arm, seed) not in runs:
                    run = runs[arm, seed] = measure_training(arm, seed, setting)
                    file.write(json.dumps(asdict(run)) + "\n")
                    file.flush()
                    accuracy = run.curves["test/accuracy"][-1]
                    print(f"seed {seed}, {arm}: test accuracy {accuracy:.3f}, {run.cpu_seconds:.0f} CPU-s", flush=True)
    chosen = [runs[arm, seed] for seed in range(args.seeds) for arm in arms]
    print("\n".join(stability_lines(chosen)))
    curves = {
        arm: [(run.curves["step"], run.curves["train/loss"], running_rate(run)) for run in chosen if run.arm == arm]
        for arm in arms
    }
    save(training_stability_figure(curves), args.out / "training_stability.png")
    print(args.out / "training_stability.png")
    if args.storage:
        print(f"logged to  {log(chosen, Path(args.storage).resolve())}")


def log(runs: "Sequence[StabilityRun]", storage: Path) -> str:
    """Log trainings as the runs of a job; -> the store. A training that is there already gains nothing."""
    import hashlib

    from rrm.reports.training_stability import running_rate
    from rrm.tracking import Tracker, tracking_uri

    setting = runs[0].setting
    job = f"{EXPERIMENT}-{hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:8]}"
    with Tracker(tracking_uri(None, storage), EXPERIMENT, job, storage / "artifacts") as tracker:
        tracker.finish(tracker.run("sweep", job, setting), "FINISHED")
        for run in runs:
            own = tracker.run("trial", f"{run.arm}, seed {run.seed}", {"seed": run.seed})
            tracker.tags(own, {"rrm.model": "mlp", "rrm.arm": run.arm, "rrm.seed": run.seed})
            columns = {SERIES.get(name, name): values for name, values in run.curves.items() if name != "step"}
            columns = {name.replace("growth/", "stability/growth/"): values for name, values in columns.items()}
            columns["stability/rate"] = running_rate(run).tolist()
            for place, step in enumerate(run.curves["step"]):
                tracker.metrics(own, {name: values[place] for name, values in columns.items()}, int(step))
            tracker.finish(own, "FINISHED")
    return tracker.uri


if __name__ == "__main__":
    main()
