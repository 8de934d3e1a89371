"""Faults in every process that has this folder on PYTHONPATH, at the places that RRM_FAULT names.

Python imports a module called `sitecustomize` before it runs anything else, wherever sys.path has one. The fault table
puts this folder on PYTHONPATH, which children inherit: so the driver, the processes of Ray and the workers run
unchanged code of rrm, and this file patches a module right after its import.

RRM_FAULT   ACTION@PLACE:N[ ACTION@PLACE:N ...]: the action when the process passes the place for the N-th time, or for
            `trial` when it trains trial N. An action happens once in all processes together, unless N ends in "*".
RRM_MARKS   a folder: a file per action that has happened, with the process that did it, and `count`, with a letter per
            unit of work that was done: s (a training step), t (a test score), m (a shard of spectra), g (a shard of
            another study), a (attempts of a dream loop at some puzzles).
"""

import os
import signal
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from pathlib import Path

MARKS = Path(os.environ.get("RRM_MARKS", "/nonexistent"))
DAY = 86_400
seen: dict[str, int] = {}


def act(action: str) -> None:
    """Do what the name of an action says."""
    name, _, argument = action.partition("=")
    if name in ("INT", "TERM", "KILL", "HUP"):
        os.kill(os.getpid(), getattr(signal, f"SIG{name}"))
    elif name == "twice":  # an impatient Ctrl-C
        os.kill(os.getpid(), signal.SIGINT)
        import threading

        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    elif name == "clock":
        now = time.time
        time.time = lambda: now() + float(argument) * DAY
    elif name == "wait":  # for what the table does meanwhile
        while not (MARKS / "go").exists():
            time.sleep(0.05)
    elif name == "raise":
        raise RuntimeError("this configuration always crashes")
    elif name == "memory":
        import torch

        raise torch.OutOfMemoryError("Tried to allocate 20.00 GiB")
    elif name != "mark":
        raise ValueError(f"no action is called {action}")


def passes(place: str, number: int | None = None) -> None:
    """The process passes a place; `number` instead of how often it did."""
    seen[place] = seen.get(place, 0) + 1
    for fault in os.environ.get("RRM_FAULT", "").split():
        action, _, where = fault.partition("@")
        name, _, wanted = where.partition(":")
        if name != place or int(wanted.rstrip("*")) != (seen[place] if number is None else number):
            continue
        if not wanted.endswith("*"):
            try:
                file = os.open(MARKS / fault, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                os.write(file, str(os.getpid()).encode())
                os.close(file)
            except FileExistsError:
                continue
        act(action)


def count(letter: str) -> None:
    """One more unit of work is done."""
    if MARKS.is_dir():
        file = os.open(MARKS / "count", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, letter.encode())
        os.close(file)


def around(owner, name: str, before=lambda *a: None, after=lambda *a: None) -> None:
    """Have `before(*arguments)` and `after(*arguments)` called around owner.name."""
    import functools

    real = getattr(owner, name)

    @functools.wraps(real)
    def wrapped(*args, **kwargs):
        before(*args)
        result = real(*args, **kwargs)
        after(*args)
        return result

    setattr(owner, name, wrapped)


def patch_trainer(module) -> None:
    def poison(trainer) -> None:
        """Weights that are not finite, from the fourth step on: the loss says so at the next evaluation."""
        if trainer.poisoned and trainer.step >= 3:
            next(trainer.model.parameters()).data.fill_(float("nan"))

    module.Trainer.poisoned = False
    around(module.Trainer, "_train_step", poison, lambda trainer: (count("s"), passes("step", trainer.step)))


def patch_memory(module) -> None:
    def large(parts, step, batch, carry) -> None:
        if parts.share // parts.count > 8:
            passes("rows")

    around(module.MicroBatches, "_in_parts", large)


def patch_trial(module) -> None:
    def before(job, config, *rest) -> None:
        module.Trainer.poisoned = f"nan@trial:{config['trial']}" in os.environ.get("RRM_FAULT", "").split()
        if not module.Trainer.poisoned:
            passes("trial", config["trial"])

    around(module, "_train", before)


def patch_search(module) -> None:
    around(module.BaselinesFirst, "suggest", after=lambda *_: passes("suggested"))


def patch_callbacks(module) -> None:
    around(module.TrackingCallback, "on_trial_start", after=lambda *_: passes("started"))
    around(module.TrackingCallback, "on_trial_result", after=lambda *_: passes("train"))


def patch_checkpoints(module) -> None:
    """Tune knows of a new checkpoint, and has not written that down."""
    around(module._CheckpointManager, "register_checkpoint", after=lambda *_: passes("registered"))


def patch_folder(module) -> None:
    around(module.JobFolder, "write", after=lambda folder, name, content: name == "scores" and passes("score"))


def patch_fanout(module) -> None:
    def large(description, weights, puzzles, rows, settings, kept) -> None:
        if settings.batch > 8:
            passes("batch")

    around(module, "score_model", lambda *_: (count("t"), passes("scoring")))
    around(module, "_measure_shard", large, lambda *_: count("m"))
    around(module, "_measure_shard", lambda *_: passes("measuring"))
    around(module, "_call_on_rows", after=lambda *_: count("g"))
    around(module, "_write_shard", after=lambda *_: passes("shard"))
    around(module, "save_rows", after=lambda *_: passes("rows"))


def patch_attempts(module) -> None:
    around(module, "attempt", lambda *_, **__: passes("attempt"), lambda *_, **__: count("a"))


def patch_report(module) -> None:
    around(module, "draw", after=lambda *_: passes("report"))


def patch_node(module) -> None:
    """Ray gives a raylet 30 s to start, which a busy machine may not keep: ten times as long."""
    from types import SimpleNamespace

    module.time = SimpleNamespace(**vars(time) | {"monotonic": lambda: time.monotonic() / 10})


PATCHES = {
    "ray._private.node": patch_node,
    "ray.train._internal.checkpoint_manager": patch_checkpoints,
    "rrm.training.trainer": patch_trainer,
    "rrm.training.memory": patch_memory,
    "rrm.cluster.trial": patch_trial,
    "rrm.cluster.search": patch_search,
    "rrm.cluster.callbacks": patch_callbacks,
    "rrm.jobs.folder": patch_folder,
    "rrm.cluster.fanout": patch_fanout,
    "rrm.reports.perturbation": patch_report,
    "rrm.training.dream.shards": patch_attempts,
}


class Patcher(MetaPathFinder):
    """Patches a module right after it was imported."""

    def find_spec(self, name, path, target=None):
        patch = PATCHES.pop(name, None)
        spec = patch and PathFinder.find_spec(name, path)
        if not spec:
            return None
        execute = spec.loader.exec_module

        def exec_module(module) -> None:
            execute(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Patcher())
