"""The finding that a check yields, and the setting that a check gets."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """The storage folder, the store or server of MLflow, and the address of the Ray cluster (None without one)."""

    storage: Path
    tracking_uri: str
    address: str | None = None


@dataclass(frozen=True)
class Finding:
    """One line: level ("ok", "warn" or "fail") and fact; a problem also has its meaning and the way out (`cure`)."""

    level: str
    found: str
    means: str = ""
    cure: str = ""

    def __str__(self) -> str:
        explained = f": {self.means}. Way out: {self.cure}" if self.means else ""
        return " ".join(f"{self.found}{explained}".splitlines())

    def line(self, name: str) -> str:
        """The finding under the name of its check, on one line."""
        return f"{self.level:<4}  {name:<13} {self}"


def ok(found: str) -> Finding:
    """All is well."""
    return Finding("ok", found)


def warn(found: str, means: str, cure: str) -> Finding:
    """Work goes on, slower or with less than the user may expect."""
    return Finding("warn", found, means, cure)


def fail(found: str, means: str, cure: str) -> Finding:
    """A sweep or a study would break, or is open to others."""
    return Finding("fail", found, means, cure)
