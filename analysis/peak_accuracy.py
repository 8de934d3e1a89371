"""Does the perturbation raise accuracy? Fig. 3 of any finished sweep, read from MLflow.

    python analysis/peak_accuracy.py --run RUN_ID [--tracking-uri sqlite:///runs/mlflow.db] [--out DIR]
"""

import argparse
from pathlib import Path

from rrm.errors import exit_on_bad_input


@exit_on_bad_input
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="MLflow run of the sweep")
    parser.add_argument("--tracking-uri", default="sqlite:///runs/mlflow.db")
    parser.add_argument("--out", default=".", type=Path, help="folder of the figure (default: here)")
    args = parser.parse_args()

    from rrm.figures import accuracy_against_sigma, save
    from rrm.statistics import by_model, perturbation_sentence
    from rrm.tracking.read import sweep_points

    points = sweep_points(args.tracking_uri, args.run)
    args.out.mkdir(parents=True, exist_ok=True)
    save(accuracy_against_sigma(points), args.out / "fig3_accuracy_against_sigma.png")
    print(args.out / "fig3_accuracy_against_sigma.png")
    for of_one_model in by_model(points).values():
        print(perturbation_sentence(of_one_model))


if __name__ == "__main__":
    main()
