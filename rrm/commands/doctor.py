"""`python -m rrm doctor`: one line for each finding, exit code 1 where something fails."""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from rrm.cluster.address import cluster_address
from rrm.commands.options import add_places, check_storage
from rrm.doctor.finding import Finding, Setting, fail
from rrm.paths import check_home
from rrm.tracking.secrets import mask

DESCRIPTION = """Check the installation, devices, storage, tracking, ports and cluster, and explain every problem.

One line for each finding: ok, warn or fail, the finding, its meaning, and the way out. The doctor also closes runs in
the tracking store whose driver has died, and sends the operations that drivers kept for a store that was away. Exit
code 1 when something fails. Over a network the doctor asks only the named tracking server and the named Ray cluster."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add_places(parser, "a Ray cluster to ask, node by node (default: RAY_ADDRESS, if set)")
    parser.add_argument(
        "--deep",
        action="store_true",
        help="also start a local Ray, write to MLflow and train on two processes: a minute",
    )


def run(args: argparse.Namespace) -> int:
    """Print all findings; -> exit code, 1 where one fails."""
    check_home()
    check_storage(args.storage)
    from rrm.commands.checks import CHECKS, DEEP
    from rrm.tracking import tracking_uri

    storage = Path(os.path.realpath(args.storage))
    setting = Setting(storage, tracking_uri(args.tracking_uri, storage), cluster_address(args.address))
    counts = {"ok": 0, "warn": 0, "fail": 0}
    for name, check in (CHECKS | (DEEP if args.deep else {})).items():
        for finding in examine(check, setting):
            print(mask(finding.line(name), setting.tracking_uri), flush=True)
            counts[finding.level] += 1
    print(f"\n{counts['ok']} ok, {counts['warn']} to look at, {counts['fail']} broken")
    return 1 if counts["fail"] else 0


def examine(check: Callable[[Setting], Iterator[Finding]], setting: Setting) -> Iterator[Finding]:
    """The findings of a check; an error of the check is a finding, too."""
    try:
        yield from check(setting)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        yield fail(
            f"the check broke ({reason})",
            "what it looks at is not as it should be, or not as it expects",
            "mend what the reason names; report it where it names nothing",
        )
