"""Which attention heads does a training change, and which of them carry what it brings?

    python analysis/heads.py --run RUN_ID                          # a trial: its weights against its first weights
    python analysis/heads.py --run RUN_ID --against RUN_ID         # and against another training
    python analysis/heads.py --sweep RUN_ID                        # a sweep: every seed's baseline and other arms
    python analysis/heads.py --checkpoint DIR --data FILE          # a checkpoint folder of rrm
    python analysis/heads.py --run RUN_ID --weights final          # a transformer of tune_specs/grokking_sweep.py

Records the attention of every head in every network call on the same 256 puzzles (--count, their hash is in the
result), and prints

which         the divergence (Jensen-Shannon, nats) of each head from before the training, by call, against that of a
              training with the puzzles in another order
concentrated  its share in the first head, its Gini coefficient, and the share of the gain that is lost without the
              tenth of the heads that changes most, among as many at random (--draws), in all calls and in a third
which layers  how far the weights of each kind of layer moved for their size, against a training on random labels
what rank     effective, stable, energy-90 rank and participation ratio of every change of weights, against the same
roles         memory readers, constraint propagators and integrators (arXiv 2604.21999), by the null of a pattern and by
              what goes without the head

Scores are the log of the attention to a pattern (row, column, box, peers, same digit, clue, ...; wall, neighbours, ends
and path of a maze) over that of a uniform row; in their null the cells change places, 200 times. Transformers on
modular arithmetic are asked on pairs that training did not see: self, previous, same token, induction and the four
places of an equation, which have no null; they are compared with the other arms of their sweep and seed. The
heads of two trainings can be compared one by one where both began with the same weights, as those of one seed of
tune_specs/heads_sweep.py do. The result is one file, heads.npz; finished shards survive an interruption.

Of a sweep every seed gets a study of its own, NAME-seed-N, and a run over seeds says what they have in common: tables
of means with 95 % intervals beside their nulls, the plain answers, whether the goal is reached (the tenth that changes
most carries 80 % of the gain, a random tenth at most 20 %), and a figure. Finished studies stay with --resume.
"""

from rrm.commands.heads import run_heads_command


def main(argv: list[str] | None = None) -> None:
    run_heads_command(__doc__, argv)


if __name__ == "__main__":
    main()
