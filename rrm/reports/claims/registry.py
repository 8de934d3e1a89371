"""All claims of the study. A new claim is one `Claim` in a file of its theme, and its place here."""

from rrm.reports.claims.claim import Claim
from rrm.reports.claims.curricula import CURRICULA
from rrm.reports.claims.dream import DREAM
from rrm.reports.claims.grokking import GROKKING
from rrm.reports.claims.heads import HEADS
from rrm.reports.claims.proposals import PROPOSALS
from rrm.reports.claims.rollouts import ROLLOUTS
from rrm.reports.claims.stability import STABILITY
from rrm.reports.claims.training import TRAINING

CLAIMS: tuple[Claim, ...] = (
    *STABILITY, *TRAINING, *ROLLOUTS, *GROKKING, *HEADS, *CURRICULA, *DREAM, *PROPOSALS,
)  # fmt: skip
