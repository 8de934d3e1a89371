"""Do the exponents of a trained model say more about its failures than "the state has stopped moving"?

    python analysis/lyapunov.py --run RUN_ID                       # a trial of a sweep, on the sweep's test puzzles
    python analysis/lyapunov.py --checkpoint DIR --data FILE       # a checkpoint folder of rrm
    python analysis/lyapunov.py --checkpoint FILE [--config FILE] --data FILE  # a public checkpoint

Measures the Lyapunov spectrum of every puzzle's rollout over Ray tasks. Prints tables, draws figures and logs all of it
to MLflow. The same puzzles serve for every comparison:

null ladder   AUC and held-out log-loss of late drift, settling time, the drift of every segment, Q head, margin and
              entropy; then the gain of λ₁, the spectrum and (--covariant) covariant vectors over all of them. A gain
              counts when it beats 0 and the gain of the null. Where nothing is added, the output says how large a gain
              would have been found.
controls      λ₁ within deciles of late drift, before settling, and before the first segment from which the answer stays
              right, each at several leads. Settling comes some segments after the answer: only the last control asks
              whether λ₁ knows of a failure before it is one.
nulls         transient chaos: exponents of a search that know nothing but when it ended, put in the place of the
              measured ones on the same puzzles and through the same code. Besides, shuffled labels and an untrained
              network.
more          settling against correctness, the horizon curve, rollouts to eight times the depth, restarts from kicked
              states.

The result is one safetensors file, the same bytes for any number of workers. Finished shards survive an interruption.
Exponents start from a random basis; the segments in which it aligns are left out (--transient), and the table gives the
change of the median with another start basis. Estimators compute in float32 or float64 whatever surrounds them, so a
test score in bfloat16 may differ from the study's. `floored` in the file counts local values that cannot be told from
rounding; with many of them trailing exponents say little.

Family and depth of a public checkpoint are those that the file names. Its configuration is found beside it
(latest_config.yaml, all_config.yaml, config.yaml, config.json) or in it, and has to hold the shape of the data
(vocab_size, seq_len, num_puzzle_identifiers). Of several sets of weights the averaged one is taken, or --weights NAME.
"""

from rrm.commands.studies import run_stability_command


def main(argv: list[str] | None = None) -> None:
    run_stability_command(__doc__, argv)


if __name__ == "__main__":
    main()
