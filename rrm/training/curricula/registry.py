"""The curricula, by name. A new one is a class and a line here."""

from rrm.training.curricula.curriculum import Curriculum
from rrm.training.curricula.uniform import Uniform

CURRICULA: dict[str, type[Curriculum]] = {
    "uniform": Uniform,
}
