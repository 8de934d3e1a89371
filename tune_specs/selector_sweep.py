"""How much noise at test time, where, on how many rollouts, and which of them to believe: one trained model.

    python tune_specs/selector_sweep.py --run RUN_ID                  # a trial, on its sweep's test puzzles
    python tune_specs/selector_sweep.py --checkpoint DIR --data FILE  # a checkpoint folder of rrm

Four axes: what makes rollouts differ (noise of some magnitude sigma on some half of the state, or symmetric copies of
the puzzle) x number of rollouts K x their depth x selector: random, majority, Q head, residual, stability, the first to
halt, the first settled, and the oracle that they fall short of. Noise or copies are chosen on a part of the puzzles, by
the accuracy of the Q head at the largest K and depth (by the residual, where a model has no Q head); every table is
made on the other puzzles. Beside K rollouts of D segments stands what they have to beat at the same number of network
calls: one rollout of K x D segments without noise. Finished shards survive an interruption.
"""

from rrm.commands.selectors import run_selector_command
from rrm.jobs.selector_spec import SelectorSpec

SIGMA = (0.1, 0.3, 1.0, 3.0)  # standard deviation in state units; the state has unit RMS
WHERE = ("z_H", "z_L", "both")
ROLLOUTS = ("noise", "symmetry")  # noise at every magnitude and half, symmetric copies once, without noise
K = (1, 4, 16, 64)
DEPTHS = (0.5, 1)  # in units of the depth in evaluation
CHOOSE_ON = 1 / 3  # of the puzzles
DEEPEST = 1024  # segments of the longest rollout without noise

SPEC = SelectorSpec(SIGMA, WHERE, K, DEPTHS, CHOOSE_ON, DEEPEST, ROLLOUTS)

if __name__ == "__main__":
    run_selector_command(SPEC, __doc__)
