"""Are failed rollouts less stable than solved ones? Figs. 1 and 2 of a finished sweep, or of result files.

    python analysis/outcome_figures.py --run RUN_ID [--tracking-uri sqlite:///runs/mlflow.db] [--out DIR]
    python analysis/outcome_figures.py --result runs/perturb_sweep/lyapunov/*.safetensors [--out DIR]
"""

from pathlib import Path

from rrm.commands.options import RawText
from rrm.doctor.storage import output_folder
from rrm.errors import OneLineParser, exit_on_bad_input
from rrm.paths import user_path


@exit_on_bad_input
def main() -> None:
    parser = OneLineParser(description=__doc__, formatter_class=RawText)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", help="MLflow run of a sweep, of an analysed trial or of a stability study")
    source.add_argument("--result", nargs="+", type=user_path, metavar="FILE", help="stability result files")
    add = parser.add_argument
    add("--tracking-uri", help="an MLflow server or store (default: MLFLOW_TRACKING_URI, else that of ./runs)")
    add("--out", default=".", type=output_folder, metavar="DIR", help="folder of the figures (default: here)")
    args = parser.parse_args()

    from rrm.tracking import announce, tracking_uri

    if args.run:
        announce(uri := tracking_uri(args.tracking_uri, Path("runs")))

    from rrm.dynamics import load_result
    from rrm.figures import lambda_distributions, leading_spectrum, save
    from rrm.statistics import OutcomePanel, late_drift, separation_sentence
    from rrm.studies.stored import stability_results

    results = [load_result(p) for p in args.result] if args.result else stability_results(uri, args.run)
    labels = [r.provenance.get("label", r.settings.checkpoint_hash[:8]) for r in results]
    panels = [
        OutcomePanel.of_finite(label, r.lambda_per_call, r.solved, late_drift(r.drift_H), r.finite)
        for label, r in zip(labels, results, strict=True)
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    for number, draw in enumerate((lambda_distributions, leading_spectrum), start=1):
        path = args.out / f"fig{number}_{draw.__name__}.png"
        save(draw(panels), path)
        print(path)
    for panel in panels:
        print(separation_sentence(panel))


if __name__ == "__main__":
    main()
