"""The process group of DDP workers on one machine; no other machine can reach it."""

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import torch.distributed as dist
from ray.train.torch import TorchConfig


@dataclass
class LocalTorchConfig(TorchConfig):
    """TorchConfig for workers on one machine: rendezvous by a file in `folder`, traffic over the loopback interface.

    PyTorch's default rendezvous is a server that listens on all interfaces and accepts everybody.
    """

    folder: str = ""

    @property
    def backend_cls(self) -> type:
        return _LocalBackend


_TorchBackend: Any = TorchConfig().backend_cls


class _LocalBackend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: LocalTorchConfig) -> None:
        import ray

        # Restarted workers need a new file: they would read the entries of the dead ones as their own.
        settings = {
            "backend": backend_config.backend,
            "init_method": f"file://{backend_config.folder}/{uuid4().hex}",
            "timeout": timedelta(seconds=backend_config.timeout_s),
            "world_size": len(worker_group),
        }
        ray.get([worker_group.execute_single_async(r, join_group, r, settings) for r in range(len(worker_group))])


def join_group(rank: int, settings: dict) -> None:
    """Join the process group as `rank`; `settings` are arguments of `torch.distributed.init_process_group`."""
    (loopback,) = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = loopback
    dist.init_process_group(rank=rank, **settings)
