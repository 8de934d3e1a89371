"""What a sweep can turn besides the model: one line per intervention."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rrm.training.perturbation import MODEL_SETTINGS, perturbation
from rrm.training.recipe import Recipe


@dataclass(frozen=True)
class Intervention:
    """settings: what a recipe has of the intervention, as plain values.  words: their name, "" for nothing.

    `words` may be given the settings of an older version, which lack what came later.
    """

    settings: Callable[[Recipe], dict[str, Any]]
    words: Callable[[dict[str, Any]], str]


def summary(recipe: Recipe) -> dict[str, Any]:
    """What a recipe adds to plain training, as plain values for tables, tags and labels.

    kind, sigma (the noise scale asked for, of the model itself for EqR), location: the perturbation; "none", 0 and
    "both" without one.  rollouts: what was changed in the starts of the rollouts and in which of them learn, absent
    where they are those of the kind.  flossing: its schedule and the settings changed in it, "none" without.
    curriculum: its kind, absent without one.
    """
    return {name: value for each in INTERVENTIONS.values() for name, value in each.settings(recipe).items()}


def name_of(**found: Any) -> str:
    """What `summary` found, in words, such as "every call σ = 0.1 on z_L, flossing pre"; "baseline" for nothing."""
    return ", ".join(filter(None, (each.words(found) for each in INTERVENTIONS.values()))) or "baseline"


def _perturbation(recipe: Recipe) -> dict[str, Any]:
    kind, made = recipe.perturbation["kind"], recipe.perturbed
    if kind in MODEL_SETTINGS:
        return {"kind": kind, "sigma": recipe.model["call_noise"], "location": "both"}
    if made.trajectories == 1 and not made.perturbed and not made.far:
        return {"kind": "none", "sigma": 0.0, "location": "both"}
    return {"kind": kind, "sigma": made.sigma, "location": made.location}


def _perturbation_words(found: dict[str, Any]) -> str:
    noise = [found["kind"].replace("_", " ")] if found["kind"] != "none" else []
    noise += [f"σ = {found['sigma']:.3g}"] if found["sigma"] > 0 else []
    noise += [f"on {found['location']}"] if found["location"] != "both" else []
    return " ".join(noise)


def _rollouts(recipe: Recipe) -> dict[str, Any]:
    if recipe.trajectories == 1 and not recipe.perturbed.far:
        return {}
    usual = perturbation(recipe.perturbation["kind"])
    found = {name: (getattr(usual, name), getattr(recipe.perturbed, name)) for name in _OF_ROLLOUTS}
    changes = [f"{name} {value}" for name, (before, value) in found.items() if value != before]
    return {"rollouts": ", ".join(changes)} if changes else {}


def _rollouts_words(found: dict[str, Any]) -> str:
    return found.get("rollouts", "")


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


def _curriculum(recipe: Recipe) -> dict[str, Any]:
    return {"curriculum": recipe.source["curriculum"]["kind"]} if recipe.source["kind"] == "curriculum" else {}


def _curriculum_words(found: dict[str, Any]) -> str:
    return f"curriculum {found['curriculum'].replace('_', ' ')}" if "curriculum" in found else ""


_OF_ROLLOUTS = ("start", "learns", "share_H", "halts")
INTERVENTIONS = {
    "perturbation": Intervention(_perturbation, _perturbation_words),
    "rollouts": Intervention(_rollouts, _rollouts_words),
    "flossing": Intervention(_flossing, _flossing_words),
    "curriculum": Intervention(_curriculum, _curriculum_words),
}
