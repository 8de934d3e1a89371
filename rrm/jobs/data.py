"""The puzzles of a sweep: the set of each configuration, and the origin of the sets."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rrm.errors import InputError
from rrm.jobs.spec import DataSpec
from rrm.tasks.difficulty import rated
from rrm.tasks.splits import Splits, generate_splits, read_splits


@dataclass(frozen=True)
class DataKeys:
    """The sets of a sweep by key, without puzzles: every worker has this.

    The key of a single set is "", whatever the set; of several sets each has the key of its `DataSpec`.

    Attributes:
        sweep: name of the sweep, for messages.
        keys: the key of every set that a configuration trains on.
        tasks: name of the task by key.
        hashes: content hash by key.
    """

    sweep: str
    keys: dict[DataSpec, str]
    tasks: dict[str, str]
    hashes: dict[str, str]

    def of(self, wanted: DataSpec | None) -> str | None:
        """The key of a set; None for None. InputError for a set that the sweep did not start with."""
        if wanted is None:
            return None
        if wanted not in self.keys:
            raise InputError(
                f"the sweep {self.sweep} draws the puzzles {wanted.key}, which are not among the {len(self.keys)} sets "
                "that it was started with: let its space draw from fewer sets, or name them in fixed(models)"
            )
        return self.keys[wanted]

    @property
    def content_hash(self) -> str:
        """sha256 over all sets; that of the only one, "none" without any."""
        if self.hashes.keys() <= {""}:
            return self.hashes.get("", "none")
        return hashlib.sha256(" ".join(f"{key} {self.hashes[key]}" for key in sorted(self.hashes)).encode()).hexdigest()


def load_data(
    sweep: str, wanted: Iterable[DataSpec | None], file: str | None, seed: int, cache: Path
) -> tuple[DataKeys, dict[str, Splits]]:
    """All sets of a sweep, generated (or kept in `cache`); -> (their keys, the sets by key).

    Args:
        wanted: the sets of its configurations; None for data of their own.
        file: --data, which takes the place of the one set that is asked for; its sizes stay.
        seed: of the generators and of samples of the file.

    Raises:
        InputError: a file where not one set is asked for, and as `read_splits` and `generate_splits`.
    """
    wanted = list(dict.fromkeys(wanted))
    sets = [one for one in wanted if one is not None]
    if file and (len(wanted) > 1 or not sets):
        many = f"compares {len(sets)} sets of puzzles" if sets else "brings its own data"
        raise InputError(f"--data {file}: the sweep {sweep} {many}: leave --data out")
    keys = {one: one.key if len(sets) > 1 else "" for one in sets}
    splits = {}
    for one, key in keys.items():
        sizes = (one.train, one.validation, one.test)
        if file:
            splits[key] = read_splits(file, sizes, seed, cache)
        else:
            splits[key] = generate_splits(one.task, sizes, seed, one.givens, cache)
        if one.rated:
            of = splits[key]
            train, validation, test = (rated(part, seed) for part in (of.train, of.validation, of.test))
            splits[key] = Splits(train, validation, test, of.repeated)
    tasks = {key: made.train.task for key, made in splits.items()}
    return DataKeys(sweep, keys, tasks, {key: made.content_hash() for key, made in splits.items()}), splits
