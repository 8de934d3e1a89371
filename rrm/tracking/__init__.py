"""Everything that knows MLflow: one store, one writer."""

from rrm.tracking.address import announce, default_uri, tracking_uri
from rrm.tracking.provenance import git_commit
from rrm.tracking.store import Tracker, replay
from rrm.tracking.writer import check_store

__all__ = ["Tracker", "announce", "check_store", "default_uri", "git_commit", "replay", "tracking_uri"]
