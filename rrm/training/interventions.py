"""What a sweep can turn besides the model, in plain values and in words."""

from rrm.training.flossing import flossing
from rrm.training.perturbation import MODEL_SETTINGS, PERTURBATIONS, perturbation
from rrm.training.recipe import Recipe

__all__ = ["PERTURBATIONS", "flossing", "name_of", "perturbation", "summary"]


def summary(recipe: Recipe) -> dict:
    """What a recipe adds to plain training, as plain values for tables, tags and labels.

    kind, sigma (the noise scale asked for, of the model itself for EqR), location: the perturbation; "none", 0 and
    "both" without one.  flossing: its schedule and the settings changed in it, "none" without.
    """
    kind, made = recipe.perturbation["kind"], perturbation(**recipe.perturbation)
    if kind in MODEL_SETTINGS:
        found = {"kind": kind, "sigma": recipe.model["call_noise"], "location": "both"}
    elif made.trajectories == 1 and not made.perturbed:
        found = {"kind": "none", "sigma": 0.0, "location": "both"}
    else:
        found = {"kind": kind, "sigma": made.sigma, "location": made.location}
    schedule = recipe.flossing if isinstance(recipe.flossing, dict) else {"preset": recipe.flossing}
    changes = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in schedule.items()
        if name != "preset"
    ]
    return found | {"flossing": ", ".join([schedule["preset"], *changes])}


def name_of(kind: str, sigma: float, location: str, flossing: str) -> str:
    """What `summary` found, in words, such as "every call σ = 0.1 on z_L, flossing pre"; "baseline" for nothing."""
    noise = [kind.replace("_", " ")] if kind != "none" else []
    noise += [f"σ = {sigma:g}"] if sigma > 0 else []
    noise += [f"on {location}"] if location != "both" else []
    words = [" ".join(noise)] if noise else []
    words += [f"flossing {flossing.replace('_', ' ')}"] if flossing != "none" else []
    return ", ".join(words) or "baseline"
