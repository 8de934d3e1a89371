"""What makes rollouts of a puzzle differ, by name: the halves of the latent state that noise falls on, and copies.

Noise falls on "z_H", "z_L" or "both"; the names are the fields of `rrm.models.State`. Nothing heavy is imported here,
because command lines check these names before they import PyTorch.
"""

from rrm.errors import InputError

HALVES = ("z_H", "z_L")
CHOICES = {"both": HALVES, "z_H": ("z_H",), "z_L": ("z_L",)}
# Rollouts of a puzzle differ by noise on the state alone, or each also runs on a symmetric copy of the puzzle.
NOISE, SYMMETRY = ROLLOUTS = ("noise", "symmetry")
# The spelling of command lines and result files of older versions.
_OLDER = {"H": "z_H", "L": "z_L"}


def current_name(name: str) -> str:
    """The name of a choice as it is spelled today: "H" and "L" of older versions become "z_H" and "z_L"."""
    return _OLDER.get(name, name)


def halves(name: str) -> tuple[str, ...]:
    """The halves of the choice `name`, in the order of the state; the older spelling is understood.

    Raises:
        InputError: `name` is none of "z_H", "z_L" and "both".
    """
    if (current := current_name(name)) not in CHOICES:
        raise InputError(f"{name!r} is no half of the state: use one of {', '.join(CHOICES)}")
    return CHOICES[current]
