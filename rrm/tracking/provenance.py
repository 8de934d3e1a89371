"""The commit of the code that made a result."""

import subprocess
from pathlib import Path


def git_commit(folder: Path | str) -> str:
    """The commit of the checkout around `folder`, with "-dirty" when tracked files differ; "unknown" outside git."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            capture_output=True, encoding="utf-8", errors="replace", timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()
