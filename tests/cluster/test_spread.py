"""Pieces of work of a training as Ray tasks: all are done, whoever dies."""

import os
import time

from rrm.cluster.spread import spread_over_tasks


def test_pieces_are_done_here_and_by_tasks(cluster, tmp_path):
    here, done = os.getpid(), tmp_path / "done"

    def where(piece):
        if piece == 6 and os.getpid() != here:
            done.touch()
        deadline = time.monotonic() + 100
        while piece == 0 and not done.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return piece, os.getpid()

    found = dict(spread_over_tasks(where, range(8)))
    assert sorted(found) == list(range(8)) and all(found[n][0] == n for n in found)
    assert found[0][1] == here != found[6][1]
    assert dict(spread_over_tasks(where, [])) == {}


def test_what_dying_tasks_leave_is_done_here(cluster):
    here = os.getpid()

    def deadly(piece):
        if os.getpid() != here:
            os._exit(1)
        return 2 * piece

    assert dict(spread_over_tasks(deadly, [3, 4, 5, 6])) == {0: 6, 1: 8, 2: 10, 3: 12}
