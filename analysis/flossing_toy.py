"""Does gradient flossing show its published effect where it was published? A random network, bits, and a delay.

    python analysis/flossing_toy.py --out DIR                     # five seeds, two arms, minutes on one CPU core
    python analysis/flossing_toy.py --out DIR --preset paper      # the paper's size: several times as long

Trains networks on the delayed copy or the delayed XOR task without and with flossing, from the same starts, on the same
bits and for the same budget, what flossing costs taken off. Prints final accuracy, the conditioning of the long
Jacobian and the exponents before and after; writes flossing_toy.json and flossing_toy.png.
"""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context

from rrm.commands.options import RawText
from rrm.doctor.storage import output_folder
from rrm.errors import InputError, OneLineParser, exit_on_bad_input

JACOBIAN = ("log10_condition", "log10_condition_k", "log10_largest")
ARMS = ("none", "pre", "inter", "pre_inter")


def parse(argv: list[str] | None = None):
    parser = OneLineParser(description=__doc__, formatter_class=RawText)
    add = parser.add_argument
    add("--out", type=output_folder, default=".", metavar="DIR", help="folder of table and figure (default: here)")
    add("--preset", default="small", help="small (minutes) or paper (N = 80, k = 75; default: %(default)s)")
    add("--task", default="xor", help="xor or copy (default: %(default)s)")
    add("--delay", type=int, metavar="STEPS", help="in steps (default: the preset's)")
    add("--arms", nargs="+", default=["none", "pre"], metavar="ARM", help=f"of {', '.join(ARMS)} (default: none pre)")
    add("--penalty", default="two_sided", help="on the exponents (default: %(default)s)")
    add("--seeds", type=int, default=5, metavar="N", help="networks of each arm (default: %(default)s)")
    add("--workers", type=int, default=1, metavar="N", help="processes, one thread each (default: %(default)s)")
    args = parser.parse_args(argv)
    for option in ("seeds", "workers"):
        if getattr(args, option) < 1:
            raise InputError(f"--{option} {getattr(args, option)} is too few: use 1 or more")
    return args


def arms_of(args) -> dict:
    """The settings of each arm by its name."""
    from rrm.toys.flossing import PRESETS

    if args.preset not in PRESETS:
        raise InputError(f"--preset {args.preset!r} is unknown: use one of {', '.join(PRESETS)}")
    changes = {"task": args.task, "penalty": args.penalty} | ({"delay": args.delay} if args.delay else {})
    return {arm: replace(PRESETS[args.preset], schedule=arm, **changes) for arm in args.arms}


def train(job):
    """One network of one arm, on one thread."""
    import torch

    from rrm.toys.flossing import train_toy

    torch.set_num_threads(1)
    return train_toy(*job)


def train_all(arms: dict, seeds: int, workers: int) -> dict[str, list]:
    """The runs of each arm, by seed."""
    jobs = [(arm, seed) for seed in range(seeds) for arm in arms]
    runs = {arm: [] for arm in arms}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        results = pool.map(train, [(arms[arm], seed) for arm, seed in jobs])
        for (arm, seed), run in zip(jobs, results, strict=True):
            print(f"seed {seed}, {arm}: {run.final:.3f} of the bits right, {run.seconds:.0f} s", flush=True)
            runs[arm].append(run)
    return runs


def verdict(gains, verdicts) -> str:
    """What the seeds say of an arm against the first, corrected for all arms that stand against it."""
    from rrm.statistics.hypotheses import detectable_words, mean_over_seeds

    mean = mean_over_seeds(gains)
    corrected = f" after Holm's correction for {verdicts.tests} arms" if verdicts.tests > 1 else ""
    if verdicts.different(mean):
        words = f"{'better' if mean.estimate > 0 else 'worse'}{corrected} (p = {verdicts.p(mean):.2g})"
    elif verdicts.p(mean) >= 0:
        found = detectable_words(verdicts.detectable(mean))
        words = f"no difference is shown{corrected} ({len(gains)} seeds would find {found} 4 times in 5)"
    else:
        words = "the seeds have no spread to judge by"
    return f"{words}; mean {mean:+.3f}, by seed {' '.join(f'{gain:+.2f}' for gain in gains)}"


def table(runs: dict[str, list]) -> list[str]:
    """Lines: accuracy by arm, difference to the first arm, conditioning by arm and moment (medians over seeds)."""
    import numpy as np

    from rrm.statistics.hypotheses import Verdicts, mean_over_seeds

    final = {arm: np.array([run.final for run in found]) for arm, found in runs.items()}
    first, *others = final
    gains = {arm: final[arm] - final[first] for arm in others}
    verdicts = Verdicts(mean_over_seeds(values) for values in gains.values())
    lines = ["final accuracy, mean over seeds [95 % interval of Student's t over seeds]; each seed"]
    for arm, values in final.items():
        lines.append(f"  {arm:10} {mean_over_seeds(values):.3f}; {' '.join(f'{value:.2f}' for value in values)}")
    for arm, values in gains.items():
        lines.append(f"  {arm} against {first}: {verdict(values, verdicts)}")
    columns = "  {:10} {:9} {:>9} {:>9} {:>9} {:>12} {:>12} {:>12} {:>10}"
    lines.append("medians over seeds; exponents in nats per step, Jacobian over twice the delay")
    header = ("arm", "moment", "lambda_1", "mean", "lambda_N", "log10 cond.", "of k alone", "log10 norm", "|gradient|")
    lines.append(columns.format(*header))
    for arm, found in runs.items():
        for moment in found[0].conditioning:
            at = [run.conditioning[moment] for run in found]
            spectra = np.array([c.exponents for c in at])
            numbers = [spectra[:, 0], spectra.mean(1), spectra[:, -1]]
            numbers += [[getattr(c, name) for c in at] for name in JACOBIAN]
            texts = [f"{np.median(values):.2f}" for values in numbers]
            lines.append(columns.format(arm, moment, *texts, f"{np.median([c.gradient_norm for c in at]):.2g}"))
    return lines


@exit_on_bad_input
def main() -> None:
    args = parse()
    arms = arms_of(args)
    args.out.mkdir(parents=True, exist_ok=True)
    runs = train_all(arms, args.seeds, args.workers)
    print("\n".join(table(runs)))
    record = {arm: {"settings": asdict(arms[arm]), "runs": [asdict(run) for run in runs[arm]]} for arm in arms}
    (args.out / "flossing_toy.json").write_text(json.dumps(record) + "\n", encoding="utf-8")

    from rrm.figures import flossing_toy_figure, save

    names = {arm: "without flossing" if arm == "none" else f"flossing: {arm.replace('_', ' and ')}" for arm in arms}
    curves = {names[arm]: (arms[arm].spent(), [run.accuracy for run in found]) for arm, found in runs.items()}
    spectra = {
        name: [run.conditioning[moment].exponents for run in next(iter(found))]
        for name, moment in (("before", "initial"), ("after pre-flossing", "flossed"))
        if (found := [of_arm for of_arm in runs.values() if moment in of_arm[0].conditioning])
    }
    path = args.out / "flossing_toy.png"
    save(flossing_toy_figure(curves, spectra), path)
    print(path)


if __name__ == "__main__":
    main()
