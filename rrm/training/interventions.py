"""What a sweep can turn besides the model: one line per intervention."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING

from rrm.errors import InputError
from rrm.training.flossing import FLOSSING, Flossing
from rrm.training.perturbation import EQR, PRESETS, TIMES, TrajectoryPerturbation, clean_copies, eqr

if TYPE_CHECKING:
    from rrm.training.recipe import Recipe

# By the time of the noise, by published name, and the control arm.
PERTURBATIONS = {
    **{time: partial(TrajectoryPerturbation, time=time) for time in TIMES},
    **{name: partial(TrajectoryPerturbation, **settings) for name, settings in PRESETS.items()},
    "eqr": eqr,
    "clean_copies": clean_copies,
}

# What a perturbation needs of the model it trains: settings that take the place of the recipe's own.
MODEL_SETTINGS = {"eqr": EQR}


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


def perturbation(kind: str, **settings):
    """The perturbation `kind` with its settings."""
    if kind not in PERTURBATIONS:
        raise InputError(f"perturbation {kind!r} is unknown: use one of {', '.join(PERTURBATIONS)}")
    allowed = [name for name in inspect.signature(PERTURBATIONS[kind]).parameters if name != "time"]
    for name in settings:
        if name not in allowed:
            takes = f"it has {', '.join(allowed)}" if allowed else "it has none"
            raise InputError(f"perturbation {kind!r} has no setting {name!r}: {takes}")
    return PERTURBATIONS[kind](**settings)


def flossing(schedule: str | dict) -> Flossing | None:
    """The settings of a flossing schedule, None for "none".

    `schedule` is the name of a preset, or {"preset": name, and the settings to change}.
    """
    name, changes = (schedule, {}) if isinstance(schedule, str) else (schedule.get("preset"), dict(schedule))
    changes.pop("preset", None)
    if name not in FLOSSING:
        raise InputError(f"flossing schedule {name!r} is unknown: use one of {', '.join(FLOSSING)}")
    allowed = [f.name for f in fields(Flossing)] if FLOSSING[name] else []
    for setting in changes:
        if setting not in allowed:
            has = f"it has {', '.join(allowed)}" if allowed else "it has none"
            raise InputError(f"flossing schedule {name!r} has no setting {setting!r}: {has}")
    return replace(FLOSSING[name], **changes) if changes else FLOSSING[name]
