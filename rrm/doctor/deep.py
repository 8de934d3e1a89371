"""The check that starts processes: two of them add their tensors over gloo."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rrm.doctor.finding import Finding, Setting, fail, ok

_RANK = """
import sys, datetime, torch, torch.distributed as group
rank, file = int(sys.argv[1]), sys.argv[2]
wait = datetime.timedelta(seconds=60)
group.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=2, timeout=wait)
value = torch.tensor([float(rank + 1)])
group.all_reduce(value)
group.destroy_process_group()
sys.exit(0 if value.item() == 3.0 else 3)
"""


def all_reduce(setting: Setting) -> Iterator[Finding]:
    """The sum over two processes, as in training with --workers-per-trial 2."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-c", _RANK]
        ranks = [
            subprocess.Popen(
                [*command, str(rank), str(Path(scratch, "meet"))],
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=environment,
            )  # fmt: skip
            for rank in range(2)
        ]
        try:
            said = [rank.communicate(timeout=90)[1] for rank in ranks]
        except subprocess.TimeoutExpired:
            said = ["no answer in 90 s"]
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
    if all(rank.returncode == 0 for rank in ranks):
        yield ok("two processes add their tensors over gloo")
    else:
        last = next((text.strip().splitlines()[-1] for text in said if text.strip()), "the sum is wrong")
        yield fail(
            f"two processes cannot add their tensors over gloo ({last})",
            "training with --workers-per-trial hangs or breaks",
            "export GLOO_SOCKET_IFNAME=lo on one machine (else the name of its network interface, see "
            "`ip addr`), and let the host name resolve in /etc/hosts",
        )
