"""What a sweep can turn besides the model: one line per intervention."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rrm.training.perturbation import MODEL_SETTINGS
from rrm.training.recipe import Recipe


@dataclass(frozen=True)
class Intervention:
    """settings: what a recipe has of the intervention, as plain values.  words: their name, "" for nothing."""

    settings: Callable[[Recipe], dict[str, Any]]
    words: Callable[[dict[str, Any]], str]


def summary(recipe: Recipe) -> dict[str, Any]:
    """What a recipe adds to plain training, as plain values for tables, tags and labels.

    kind, sigma (the noise scale asked for, of the model itself for EqR), location: the perturbation; "none", 0 and
    "both" without one.  flossing: its schedule and the settings changed in it, "none" without.
    """
    return {name: value for each in INTERVENTIONS.values() for name, value in each.settings(recipe).items()}


def name_of(**found: Any) -> str:
    """What `summary` found, in words, such as "every call σ = 0.1 on z_L, flossing pre"; "baseline" for nothing."""
    return ", ".join(filter(None, (each.words(found) for each in INTERVENTIONS.values()))) or "baseline"


def _perturbation(recipe: Recipe) -> dict[str, Any]:
    kind, made = recipe.perturbation["kind"], recipe.perturbed
    if kind in MODEL_SETTINGS:
        return {"kind": kind, "sigma": recipe.model["call_noise"], "location": "both"}
    if made.trajectories == 1 and not made.perturbed:
        return {"kind": "none", "sigma": 0.0, "location": "both"}
    return {"kind": kind, "sigma": made.sigma, "location": made.location}


def _perturbation_words(found: dict[str, Any]) -> str:
    noise = [found["kind"].replace("_", " ")] if found["kind"] != "none" else []
    noise += [f"σ = {found['sigma']:g}"] if found["sigma"] > 0 else []
    noise += [f"on {found['location']}"] if found["location"] != "both" else []
    return " ".join(noise)


def _flossing(recipe: Recipe) -> dict[str, Any]:
    schedule = recipe.hooks.get("flossing", {"preset": "none"})
    changes = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in schedule.items()
        if name != "preset"
    ]
    return {"flossing": ", ".join([schedule["preset"], *changes])}


def _flossing_words(found: dict[str, Any]) -> str:
    return f"flossing {found['flossing'].replace('_', ' ')}" if found["flossing"] != "none" else ""


INTERVENTIONS = {
    "perturbation": Intervention(_perturbation, _perturbation_words),
    "flossing": Intervention(_flossing, _flossing_words),
}
