"""Points of perturbation sweeps, for tests of what is said and drawn of them."""

from rrm.statistics import SweepPoint
from rrm.training.interventions import name_of


def perturbed(sigma, kind="none", location="both", flossing="none", **fields):
    """A point with the arm that these settings make; noise is on the initial state where only sigma is given."""
    kind = "initial_state" if kind == "none" and sigma > 0 else kind
    settings = {"kind": kind, "sigma": sigma, "location": location, "flossing": flossing}
    name = name_of(**settings)
    return SweepPoint(**{"arm": name, "baseline": name == "baseline", "settings": settings} | fields)
