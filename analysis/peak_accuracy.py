"""Does an intervention in training raise accuracy? Fig. 3 of finished sweeps, and the differences that seeds confirm.

    python analysis/peak_accuracy.py --run RUN_ID [RUN_ID ...] [--tracking-uri sqlite:///runs/mlflow.db] [--out DIR]

The trials of all runs make one table. Arms are compared with the baseline of their model type seed by seed;
where an arm has two seeds or more, a second figure shows the differences with their intervals. What several sweeps say
together is logged as a run of its own.
"""

import argparse
from pathlib import Path

from rrm.commands.options import RawText
from rrm.doctor.storage import output_folder
from rrm.errors import OneLineParser, exit_on_bad_input


@exit_on_bad_input
def main() -> None:
    parser = OneLineParser(description=__doc__, formatter_class=RawText)
    add = parser.add_argument
    add("--run", required=True, nargs="+", metavar="RUN_ID", help="MLflow runs of sweeps")
    add("--tracking-uri", help="an MLflow server or store (default: MLFLOW_TRACKING_URI, else that of ./runs)")
    add("--out", default=".", type=output_folder, metavar="DIR", help="folder of the figures (default: here)")
    args = parser.parse_args()

    from rrm.tracking import announce, tracking_uri

    announce(uri := tracking_uri(args.tracking_uri, Path("runs")))

    from rrm.figures import accuracy_against_sigma, arm_differences, save
    from rrm.statistics import arm_sentences, arm_table, by_model, compare_arms, perturbation_sentence
    from rrm.studies.stored import pooled_points
    from rrm.terminal.table import table, write_csv

    points = pooled_points(uri, args.run)
    comparisons = compare_arms(points)
    replicated = [comparison for comparison in comparisons if len(comparison.seeds) > 1]
    figures = {"fig3_accuracy_against_sigma.png": accuracy_against_sigma(points)}
    if replicated:
        figures["arm_differences.png"] = arm_differences(replicated)
    args.out.mkdir(parents=True, exist_ok=True)
    files = [args.out / name for name in figures]
    for path, figure in zip(files, figures.values(), strict=True):
        save(figure, path)
        print(path)

    rows = arm_table(comparisons)
    if rows:
        print("\n" + "\n".join(table(rows)) + "\n")
        files.append(args.out / "arms.csv")
        write_csv(rows, files[-1])
    compared = {comparison.model for comparison in replicated}
    alone = [points for model, points in by_model(points).items() if model not in compared]
    sentences = arm_sentences(replicated) + [perturbation_sentence(of_one_model) for of_one_model in alone]
    print("\n".join(sentences))
    if len(args.run) > 1:
        print(f"\nMLflow run {log(args, uri, files, rows, sentences)}")


def log(args: argparse.Namespace, uri: str, files: list[Path], rows: list[dict[str, str]], sentences: list[str]) -> str:
    """Log what several sweeps say together; -> the id of the run."""
    from rrm.terminal.table import markdown_table
    from rrm.tracking import Tracker

    name = "-".join(sorted(run[:8] for run in args.run))
    tracker = Tracker(uri, "peak_accuracy", name, args.out / "artifacts")
    run = tracker.run("study", name, {"runs": " ".join(args.run)})
    tracker.reopen(run)
    for path in files:
        tracker.artifact(run, path)
    note = "\n\n".join([*([markdown_table(rows)] if rows else []), *sentences])
    tracker.tags(run, {"mlflow.note.content": note})
    tracker.finish(run, "FINISHED")
    return run


if __name__ == "__main__":
    main()
