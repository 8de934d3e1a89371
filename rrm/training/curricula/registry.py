"""The curricula, by name. A new one is a class and a line here, or among the kinds that a phase may have."""

from rrm.training.curricula.curriculum import Curriculum
from rrm.training.curricula.four_phases import FourPhases
from rrm.training.curricula.scored import Learnability

CURRICULA: dict[str, type[Curriculum]] = {
    **FourPhases.KINDS,
    "learnability": Learnability,
    "four_phases": FourPhases,
}
