"""Which attention heads does training change? Trainings to compare, all arms of a seed with the same first weights.

    python tune_specs/heads_sweep.py                              # TRM with attention
    python tune_specs/heads_sweep.py --model trm_att hrm          # other model types with heads
    python analysis/heads.py --run RUN_ID --against RUN_ID        # then: a baseline, and another arm of its seed

Beside the baseline and a training with noise on the latent state every seed has two controls: the same training with
the puzzles in another order, which tells how far heads move without a cause, and one with the answers of other puzzles,
whose weights move without anything to learn. `analysis/heads.py` finds both by itself.

Expected of TRM with attention before the first run, over five seeds. At least 12 of 16 heads change more than the other
order moves them, and the change is spread: the first head has less than 15 % of it, and the Gini coefficient is below
.2. Without the tenth of the heads that changes most 30 to 60 % of the gain is lost, and without a random tenth hardly
less: the published hope of 80 % against 20 % fails. The feed-forward layers move farther than attention, for their
size. The changes of attention fill at least half of the directions that they could, within 15 % of those of random
labels, while their stable rank is lower. After the training most heads look at peers more than the null, before it
few. Noise moves heads farther than the other order does, by less than half.
"""

from rrm.commands.sweep import run_command
from rrm.jobs.heads import SPEC

if __name__ == "__main__":
    run_command(SPEC, __doc__)
