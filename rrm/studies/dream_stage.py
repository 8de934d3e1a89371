"""What a sweep of dream loops says beside the comparison of its arms: rounds, and selection among rollouts."""

from rrm.cluster.selecting import SELECTED, select_trials
from rrm.curves import Curves, curve_path, read_curves
from rrm.reports.rounds import rounds_report, selection_sentences
from rrm.statistics.rounds import Rounds, rounds_of
from rrm.studies.sweep_run import SweepRun

# Rollouts of a puzzle, and the noise of each, where the Q head chooses.
K, SIGMA = 8, 0.3


def rounds(run: SweepRun) -> None:
    """Read the rounds of all loops from their curves, and compare selection among rollouts with the loops."""
    arms, baseline = _loops(run), run.spec.tiers.control if run.spec.tiers else run.spec.baseline
    said = rounds_report(arms, baseline)
    run.report.tables |= said.tables
    run.report.sentences += said.sentences
    run.report.figures |= said.figures
    loops, names = {arm.arm for arm in arms}, dict.fromkeys(trial.arm.name for trial in run.trials)
    # The first arm without a loop, and the loop that all others are compared with.
    plain = [name for name in names if name not in loops]
    wanted = [*plain[:1], *(name for name in names if name == baseline)]
    trials = [trial for arm in wanted for trial in run.trials if trial.arm.name == arm]
    if trials:
        tests = {key: splits.test for key, splits in run.splits.items()}
        shares = select_trials(run.folder, trials, tests, K, SIGMA, run.resources, run.analysis)
        found = {
            arm: {trial.config["seed"]: shares[trial.name] for trial in trials if trial.arm.name == arm}
            for arm in wanted
        }
        lines, sentences = selection_sentences(found, K)
        run.report.tables["at test time, % solved: one rollout, and several with noise"] = lines
        run.report.sentences += sentences
        run.report.files[f"{SELECTED}.json"] = ""


def _loops(run: SweepRun) -> list[Rounds]:
    by_arm: dict[str, list[Curves]] = {}
    for trial in run.trials:
        by_arm.setdefault(trial.arm.name, []).append(read_curves(curve_path(run.folder.path, trial.name)))
    return [found for arm, curves in by_arm.items() if (found := rounds_of(arm, curves))]
