"""Which attention heads does training change? Trainings to compare, all arms of a seed with the same first weights.

    python tune_specs/heads_sweep.py                              # TRM with attention, five seeds
    python tune_specs/heads_sweep.py --model trm_gdn              # the gated delta rule; also hrm, srm_att
    python analysis/heads.py --sweep RUN_ID                       # then: all comparisons, over seeds
    python analysis/heads.py --run RUN_ID --against RUN_ID        # or one: a baseline, and another arm of its seed

Beside the baseline every seed has two controls: the same training with the puzzles in another order, which tells how
far heads move without a cause, and one with the answers of other puzzles, whose weights move without anything to learn.
Four more arms change the training: noise on the latent state, flossing between the steps, the puzzles of low rating
first, and a dream loop, whose labelled half of the puzzles is followed by its own verified attempts at the other half.
`analysis/heads.py` finds the arms of a seed by itself.

Expected of all arms, before their first run, over five seeds of TRM with attention and of the delta rule in its place.
No arm moves heads farther from the baseline than another order does: divergences are within 15 % of each other, but for
random labels, which is farther away. Flossing and easy first solve as much as the baseline to within 5 points, the
dream loop too. The goal fails on both: without the tenth that changes most less than 40 % of the gain is lost, without
a random tenth 15 to 50 %. Among random tenths the tenth that changes most is nowhere special: in at most one of five
seeds does it cost more than 95 % of them; on attention it costs less than their median. The tenth that is missed most,
chosen on other puzzles, costs more than 95 % of random tenths in every seed. Feed-forward layers move farther than
attention and the delta rule, for their size. The stable rank of the changes of attention is above that of random
labels, the effective rank within 10 %.

Found over five seeds of TRM with attention, on 128 puzzles each. As expected noise, easy first and the dream loop move
heads no farther than another order does: .32, .30 and .29 nats against .30, where .02 to .06 more would have been
found, and they solve 95 to 98 %. Flossing takes a quarter of the steps, which was not expected: it solves 78 %, and its
heads stay nearer, .24 nats. 75 % of the heads change more than another order moves them (.377 nats in the mean). The
goal fails: without the tenth that changes most 2 % of the gain is lost [-1, 5], without a random tenth 14 % [9, 19],
less than the 15 to 50 % expected. The tenth that changes most costs more than 21 % of random tenths do [7, 35], in no
seed more than 95 %; the tenth that is missed most, chosen on other puzzles, costs 58 % [32, 83], more than 98 % of
random tenths [95, 101], and more than 95 % of them in four seeds, not in all. Feed-forward layers move by .28 of their
norm and attention by .19, with random labels by .12 and .09; changes of attention have stable rank 4.4 against 2.6, and
effective rank 43 against 42.

Found over five seeds of the delta rule (baseline and controls, 64 puzzles), which is half trained after so many steps:
46 % of the test puzzles are solved, in one seed none. Heads change by .21 nats, hardly more than another order moves
them, .18. Against the expectation the tenth that changes most carries much of the gain in the four seeds that have one,
61 % [26, 97], and costs more than 83 % of random tenths [73, 92]; a random tenth costs 39 % [19, 59], the tenth that is
missed most 67 % [5, 129]. The goal is neither reached nor ruled out. Feed-forward layers move by .43 of their norm and
the delta rule by .31; its changes have a lower effective rank than those of random labels, 13.0 against 14.1.

Expected of the first four arms before their first run, on TRM with attention over five seeds. At least 12 of 16 heads
change more than the other order moves them, and the change is spread: the first head has less than 15 % of it, and the
Gini coefficient is below .2. Without the tenth of the heads that changes most 30 to 60 % of the gain is lost, and
without a random tenth hardly less: the published hope of 80 % against 20 % fails. The feed-forward layers move farther
than attention, for their size. The changes of attention fill at least half of the directions that they could, within 15
% of those of random labels, while their stable rank is lower. After the training most heads look at peers more than the
null, before it few. Noise moves heads farther than the other order does, by less than half.

Found then, over five seeds and 128 puzzles each: 8 to 14 of 16 heads change more than the other order moves them
(divergence from the first weights .37 nats, between two orders .32). The first head has 9 % of the change, Gini .22.
Without the tenth that changes most 2 % of the gain is lost [-3, 7], without a random tenth 22 %, and without the tenth
that is missed most, chosen on other puzzles, 61 % [20, 103]: few heads carry much, and their change does not show
which. Heads of the first layer change most; all 16 heads that are missed alone are in the second, and look at peers.
Feed-forward layers move by .28 of their norm, attention by .19, with random labels by half of that. Changes of
attention have effective rank 43 of 64, 42 with random labels, and stable rank 4.3, which is above the 2.8 of random
labels. 80 % of the heads look at peers more than the null, before the training 31 %. Noise moves heads no farther than
the other order. The delta rule (`cpu_sudoku`: one layer of 8 heads; three seeds, 64 puzzles) says the same: the first
head has 15 % of the change, Gini .06; 35 % of the gain is lost without the head that changes most [-40, 111], 43 %
without a random one, and 81 % [54, 108] without the one that is missed most.
"""

from rrm.commands.sweep import run_command
from rrm.jobs.heads import SPEC

if __name__ == "__main__":
    run_command(SPEC, __doc__)
