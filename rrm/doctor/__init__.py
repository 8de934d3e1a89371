"""What can be wrong with an installation, a machine, a storage folder, a store or a cluster, and the way out.

A check is a function that takes a `Setting` and yields findings; `rrm.commands.checks` is the table of them. Those that
need Ray are in `rrm.cluster.doctor`, those that need MLflow in `rrm.tracking.doctor`.
"""

from rrm.doctor.finding import Finding, Setting, fail, ok, warn

__all__ = ["Finding", "Setting", "fail", "ok", "warn"]
