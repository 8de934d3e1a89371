"""Checks of an installation, a machine, a storage folder, a store and a cluster, each with the way out.

A check is a function that takes a `Setting` and yields findings; `rrm.commands.checks` is the table of the checks.
Checks that need Ray are in `rrm.cluster.doctor`, checks that need MLflow in `rrm.tracking.doctor`.
"""

from rrm.doctor.finding import Finding, Setting, fail, ok, warn

__all__ = ["Finding", "Setting", "fail", "ok", "warn"]
