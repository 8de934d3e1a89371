"""Work on several processes that form a process group on this machine."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_workers(work: Callable[..., None], folder: Path, world: int, *args: Any) -> None:
    """Call `work(rank, folder, *args)` on each of `world` processes; a file in `folder` joins them in a gloo group."""
    mp.spawn(_member, args=(work, str(folder), world, args), nprocs=world)


def _member(rank: int, work: Callable[..., None], folder: str, world: int, args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    work(rank, folder, *args)
    dist.barrier()
    dist.destroy_process_group()
    # DistributedDataParallel keeps the group, and so its threads, for good. A thread that frees a tensor while the
    # interpreter is taken down wants a lock that is gone, and aborts the process: leave without taking it down.
    os._exit(0)
