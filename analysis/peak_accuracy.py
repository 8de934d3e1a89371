"""Does an intervention in training raise accuracy? Fig. 3 of finished sweeps, and the differences that seeds confirm.

    python analysis/peak_accuracy.py --run RUN_ID [RUN_ID ...] [--tracking-uri sqlite:///runs/mlflow.db] [--out DIR]

The trials of all runs make one table. Arms are compared with the unperturbed baseline of their model type seed by seed;
where an arm has two seeds or more, a second figure shows the differences with their intervals.
"""

import argparse
from pathlib import Path

from rrm.errors import exit_on_bad_input


@exit_on_bad_input
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, nargs="+", metavar="RUN_ID", help="MLflow runs of sweeps")
    parser.add_argument("--tracking-uri", default="sqlite:///runs/mlflow.db")
    parser.add_argument("--out", default=".", type=Path, help="folder of the figures (default: here)")
    args = parser.parse_args()

    from rrm.cluster.progress import table
    from rrm.figures import accuracy_against_sigma, arm_differences, save
    from rrm.statistics import arm_sentences, arm_table, by_model, compare_arms, perturbation_sentence
    from rrm.tracking.read import pooled_points

    points = pooled_points(args.tracking_uri, args.run)
    comparisons = compare_arms(points)
    replicated = [comparison for comparison in comparisons if len(comparison.seeds) > 1]
    figures = {"fig3_accuracy_against_sigma.png": accuracy_against_sigma(points)}
    if replicated:
        figures["arm_differences.png"] = arm_differences(replicated)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        save(figure, args.out / name)
        print(args.out / name)

    if comparisons:
        print("\n" + "\n".join(table(arm_table(comparisons))) + "\n")
    for sentence in arm_sentences(replicated):
        print(sentence)
    compared = {comparison.model for comparison in replicated}
    for model, of_one_model in by_model(points).items():
        if model not in compared:
            print(perturbation_sentence(of_one_model))


if __name__ == "__main__":
    main()
