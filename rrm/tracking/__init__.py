"""Everything that knows MLflow: one store, one writer."""

from rrm.tracking.provenance import git_commit
from rrm.tracking.store import Tracker, default_uri, replay

__all__ = ["Tracker", "default_uri", "git_commit", "replay"]
