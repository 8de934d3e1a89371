"""Which attention heads does training change? Trainings to compare, all arms of a seed with the same first weights.

    python tune_specs/heads_sweep.py                              # TRM with attention
    python tune_specs/heads_sweep.py --model trm_att hrm          # other model types with heads
    python analysis/heads.py --run RUN_ID --against RUN_ID        # then: a baseline, and another arm of its seed

Beside the baseline and a training with noise on the latent state every seed has two controls: the same training with
the puzzles in another order, which tells how far heads move without a cause, and one with the answers of other puzzles,
whose weights move without anything to learn. `analysis/heads.py` finds both by itself.
"""

from rrm.commands.sweep import run_command
from rrm.jobs.heads import SPEC

if __name__ == "__main__":
    run_command(SPEC, __doc__)
