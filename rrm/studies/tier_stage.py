"""What a sweep says of arms by tiers of difficulty, and of what was predicted of them."""

from dataclasses import replace

from rrm.cluster.scoring import read_outcomes
from rrm.errors import InputError
from rrm.figures.arms import arm_differences
from rrm.jobs.folder import SHORTEST
from rrm.jobs.predictions import TierReport
from rrm.reports.arms import best_line, points, summary_table
from rrm.reports.puzzles import tier_lines
from rrm.reports.tiers import judge_predictions, prediction_rows, tier_table
from rrm.statistics.arms import arm_sentences, compare_arms
from rrm.statistics.tiers import CELLS, MEASURES, TierPoint, tier_points
from rrm.studies.sweep_run import SweepRun
from rrm.tasks.difficulty import TIERS, noise, tier_edges, tier_of
from rrm.terminal.table import markdown_table, table

TABLES = "tables.txt"
RATED = 256  # test puzzles that are rated again, for the noise of ratings


def tiers(run: SweepRun) -> None:
    """Compare all arms with the control by tiers of the test puzzles, and judge the predictions."""
    asked, said = run.spec.tiers, run.report
    if asked is None:
        raise InputError(f"the sweep {run.spec.name} has a stage 'tiers' and does not say what to compare: set tiers")
    found = points_by_tier(run, asked)
    together = [point for of_arm in found.values() for point in of_arm]
    solving = any(point.best for point in together)
    run.points, run.compared = list(together), compare_arms(together, MEASURES if solving else MEASURES | CELLS)
    judged = judge_predictions(asked.predictions, found)

    rows, told = tier_table(run.compared, asked.control), prediction_rows(judged)
    said.tables[""] = summary_table(run.trials, run.scores, run.spec.score)
    (test,) = (splits.test for splits in run.splits.values())
    noises = noise(test.subset(slice(0, RATED)), run.args.seed)
    said.tables["the test puzzles by tier, and the noise of their ratings"] = tier_lines(test, noises, TIERS)
    said.tables[f"arms against {asked.control}, over seeds; each 95 % interval by itself"] = table(rows)
    if told:
        said.tables["predictions, which were written before the first run"] = table(told)
    told_apart = [arm for arm in run.compared if any(found.different for found in arm.contrasts.values())]
    tests = run.compared[0].tests if run.compared else 0
    nothing = f"No arm is told from {asked.control} after Holm's correction for {tests} tests of arms."
    said.sentences += arm_sentences(told_apart) or [nothing]
    if not solving:
        said.sentences.append("No model solves a test puzzle, so tiers tell nothing: arms are compared by right cells.")
    said.sentences += [*[one.sentence() for one in judged], run.spec.matching]
    # A description in MLflow holds 8,000 characters: the whole is a file.
    said.note = "\n\n".join([markdown_table(rows), run.spec.matching])
    (run.folder.path / TABLES).write_text("\n".join([said.text, "", *said.sentences, ""]), encoding="utf-8")
    said.files[TABLES] = ""
    if run.compared:
        said.figures["arms_by_tier"] = arm_differences(run.compared)
    if lost := [trial.name for trial in run.everyone if not trial.checkpoint]:
        said.lines.append(f"without a checkpoint: {', '.join(lost)}")
    said.lines += ["", best_line(run.best, run.scores, run.spec.score)]


def points_by_tier(run: SweepRun, asked: TierReport) -> dict[tuple[str, str], list[TierPoint]]:
    """The trained models by (value of the axis that comparisons are apart by, arm).

    InputError where the test puzzles are not rated, or a tier of them is empty.
    """
    (test,) = (splits.test for splits in run.splits.values())
    tier = tier_of(test.rating, tier_edges(test.rating))
    kept, shortest = read_outcomes(run.folder), read_outcomes(run.folder, SHORTEST)
    made = points(run.trials, run.scores, run.counts, kept, run.spec.score, shortest)
    grouped: dict[tuple[str, str], list[TierPoint]] = {}
    renamed = []
    for trial, point in zip(run.trials, made, strict=True):
        arm, at = trial.config["arm"], str(trial.config[asked.by]) if asked.by else ""
        model = f"{point.model}, {at}" if at else point.model
        renamed.append(replace(point, model=model, arm=arm, baseline=arm == asked.control))
    for trial, point in zip(run.trials, tier_points(renamed, tier, test.rating), strict=True):
        at = str(trial.config[asked.by]) if asked.by else ""
        grouped.setdefault((at, trial.config["arm"]), []).append(point)
    return grouped
