"""The readers: each makes whole files, and uses what it reads from them."""

import json
import shutil
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from rrm.dynamics.result import LyapunovResult, Settings, load_result, save_result
from rrm.dynamics.shards import load_rows, save_rows
from rrm.jobs.folder import JobFolder, read_json
from rrm.models import build, describe, export_official, variant
from rrm.studies import sources
from rrm.tasks import PuzzleSet, get_task
from rrm.tasks.official_files import OfficialDataset, OfficialPart
from rrm.tasks.puzzle_csv import count_rows, read_puzzles, write_puzzles
from rrm.training import checkpoint

V1 = Path(__file__).parents[2] / "dynamics" / "files" / "lyapunov-v1.safetensors"


def model_of(name: str):
    torch.manual_seed(0)
    shape = {
        "vocab_size": 6,
        "seq_len": 16,
        "hidden_size": 16,
        "num_heads": 2,
        "H_cycles": 1,
        "L_cycles": 1,
        "L_layers": 1,
    }
    return build(variant(name, **shape, puzzle_emb_ndim=16, puzzle_emb_len=1))


def use_model(model) -> None:
    """Run a model for a segment: its sizes hold together."""
    config = model.config
    rows = torch.zeros(1, config.seq_len, dtype=torch.long)
    with torch.no_grad():
        state = model.segment(model.initial_state(1), model.embed(rows, torch.zeros(1, dtype=torch.long)))
        readout = model.readout(state)
    assert readout.logits.shape == (1, config.seq_len, config.vocab_size)


def use_set(puzzles: PuzzleSet) -> None:
    """What every later step takes for granted."""
    task = get_task(puzzles.task)
    assert puzzles.inputs.shape == puzzles.labels.shape == (len(puzzles), task.seq_len) and len(puzzles)
    assert max(puzzles.inputs.max(), puzzles.labels.max()) < task.vocab_size
    assert len(puzzles.puzzle_identifiers) == len(puzzles.rating) == len(puzzles.source) == len(puzzles)
    assert len(puzzles.content_hash()) == 64
    assert len(task.score(puzzles.inputs, puzzles.labels, puzzles.labels)["exact"]) == len(puzzles)


def use_puzzles(puzzles: PuzzleSet) -> None:
    """That, and the rules of the puzzles themselves."""
    use_set(puzzles)
    task = get_task(puzzles.task)
    task.check(puzzles, lambda i: f"accepted puzzle {i}")
    assert not task.score(puzzles.inputs, puzzles.labels, puzzles.labels)["violations"].any()


def arguments(**named) -> Namespace:
    return Namespace(
        **{"run": None, "count": None, "seed": 0, "segments": None, "weights": "best", "config": None} | named
    )


def make_csv(folder: Path) -> None:
    puzzles = get_task("sudoku-4x4").generate(12, seed=0)
    puzzles.rating[:4] = 1, 2.5, 0, 30
    write_puzzles(folder / "sudoku.csv", puzzles)
    write_puzzles(folder / "maze.csv", get_task("maze-6x6").generate(8, seed=0))
    write_puzzles(folder / "large.csv", get_task("sudoku-9x9").generate(6, seed=0))


def use_csv(folder: Path) -> None:
    accepted = []
    for path in sorted(folder.glob("*.csv")):
        accepted.append(read_puzzles(path))
        assert count_rows(path) == len(accepted[-1])
    for puzzles in accepted:
        use_puzzles(puzzles)


def make_npy(folder: Path) -> None:
    parts = {
        name: OfficialPart.of(get_task("sudoku-4x4").generate(6, seed=i), 2) for i, name in enumerate(("train", "test"))
    }
    OfficialDataset(parts).write(folder / "data")


def use_npy(folder: Path) -> None:
    dataset = OfficialDataset.read(folder / "data")
    for part in dataset.parts.values():
        use_puzzles(part.puzzles(part.originals))


def make_npz(folder: Path) -> None:
    get_task("sudoku-4x4").generate(8, seed=0).save(folder / "set.npz")


def use_npz(folder: Path) -> None:
    # Its labels need not be answers: a set is what rrm saved, and tests save predictions as labels.
    use_set(sources.find_puzzles(arguments(data=str(folder / "set.npz")), folder, ""))


CONFIG = {
    "batch_size": 8, "vocab_size": 6, "seq_len": 16, "num_puzzle_identifiers": 1, "puzzle_emb_ndim": 16,
    "hidden_size": 16, "H_cycles": 1, "L_cycles": 1, "L_layers": 1, "num_heads": 2, "expansion": 4.0,
    "pos_encodings": "rope",
    "halt_max_steps": 4, "halt_exploration_prob": 0.1, "forward_dtype": "float32", "mlp_t": False, "H_layers": 0,
    "puzzle_emb_len": 1, "no_ACT_continue": True, "loss": {"name": "losses@ACTLossHead"}, "name": "trm",
}  # fmt: skip


def public_weights() -> dict:
    return {f"_orig_mod.model.{key}": value for key, value in export_official(model_of("trm_att")).items()}


def make_torch(folder: Path) -> None:
    weights = public_weights()
    half = {key: value.bfloat16() for key, value in weights.items()}
    moments = {"state": {0: {"exp_avg": torch.ones(3), "step": torch.tensor(2.0)}}, "param_groups": [{"lr": 1e-4}]}
    torch.save(weights, folder / "bare.pt")
    torch.save({"model_state": half, "optimizer": moments, "step": 7, "config": {"arch": "trm"}}, folder / "nested.pt")
    (folder / "config.json").write_text(json.dumps(CONFIG))


def make_public_tensors(folder: Path) -> None:
    checkpoint.save_tensors(public_weights(), folder / "ema.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))


def make_config(folder: Path) -> None:
    torch.save(public_weights(), folder / "weights.bin")
    (folder / "config.json").write_text(json.dumps(CONFIG))


def make_yaml(folder: Path) -> None:
    torch.save(public_weights(), folder / "weights.bin")
    shape = {key: CONFIG[key] for key in ("vocab_size", "seq_len", "num_puzzle_identifiers")}
    arch = {key: value for key, value in CONFIG.items() if key not in shape and not isinstance(value, dict)}
    lines = ["arch:", *(f"  {key}: {json.dumps(value)}" for key, value in arch.items())]
    lines += ["lr: 0.0001", "data_paths: ['data/sudoku']", "eval_save_outputs: []"]
    lines += [f"{key}: {value}" for key, value in shape.items()]
    (folder / "all_config.yaml").write_text("\n".join(lines) + "\n")


def use_public(folder: Path) -> None:
    config = next(path for path in sorted(folder.iterdir()) if "config" in path.name)
    found = []
    for path in sorted(folder.iterdir()):
        if path != config:
            found.append(sources.find_model(arguments(checkpoint=str(path), config=str(config)), folder, ""))
    for source in found:
        assert source.segments >= 1 and len(source.weights_hash) == 64
        use_model(source.model)


def make_folder(folder: Path) -> None:
    target = folder / "checkpoint"
    target.mkdir()
    model = model_of("trm_mlp")
    for name in checkpoint.WEIGHTS:
        checkpoint.save_tensors(model.state_dict(), target / f"{name}.safetensors")
    entry = {"step": 4, "segments": 3, "model": describe(model)}
    described = dict.fromkeys(checkpoint.WEIGHTS, entry)
    checkpoint.write_meta(target, {"recipe": {"lr": 1e-3}, "task": "sudoku-4x4"} | described)


def use_folder(folder: Path) -> None:
    found = [
        sources.find_model(arguments(checkpoint=str(folder / "checkpoint"), weights=which), folder, "")
        for which in checkpoint.WEIGHTS
    ]
    for source in found:
        assert source.segments >= 1
        use_model(source.model)


def make_result(folder: Path) -> None:
    shutil.copy(V1, folder / "old.safetensors")
    rows, k, segments = 6, 2, 3
    grid, rng = (rows, segments), np.random.default_rng(0)
    settings = Settings(k, segments, 2, 0, "float32", json.dumps({"family": "trm"}), "sudoku-4x4", "c", "d")
    floats = {name: rng.random(grid, np.float32) for name in ("drift_H", "drift_L", "q_halt", "margin", "entropy")}
    result = LyapunovResult(
        settings, np.arange(rows), *(rng.random((rows, k)) for _ in range(2)),
        solved=np.ones(rows, bool), cells=np.ones(rows, np.float32), violations=np.zeros(rows, np.int32),
        lambda_segments=rng.random((rows, segments, k), np.float32), solved_at=np.ones(grid, bool),
        finite=np.ones(rows, bool),
        floored=np.zeros(rows, np.int32), local=rng.random((rows, 6, k), np.float32), **floats,
        provenance={"run": "abc"},
    )  # fmt: skip
    save_result(result, folder / "new.safetensors")


def use_result(folder: Path) -> None:
    found = [load_result(folder / name, most) for name in ("old.safetensors", "new.safetensors") for most in (None, 4)]
    for result in found:
        assert isinstance(repr(result.settings), str) and len(result.lambda_per_call) == len(result)
        assert result.drift_H.shape == (len(result), result.settings.segments)
        assert result.solved.mean() <= 1 and result.cells.max(initial=0) <= 1


@dataclass(frozen=True)
class Rows:
    """A result by puzzle as `rrm.dynamics.shards` takes it."""

    segments: int
    sigma: float
    where: str
    kicks: np.ndarray
    index: np.ndarray
    solved: np.ndarray
    drift_H: np.ndarray

    row_axes: ClassVar[dict[str, int]] = {"index": 0, "solved": 1, "drift_H": 0}


def make_shard(folder: Path) -> None:
    grid = np.ones((5, 4), np.float32)
    shard = Rows(4, 0.5, "H", np.array([0.1, 0.2]), np.arange(5), np.ones((2, 5, 4), bool), grid)
    save_rows(shard, folder / "shard-000000.npz")


def use_shard(folder: Path) -> None:
    shard = load_rows(Rows, folder / "shard-000000.npz")
    assert type(shard.segments) is int and type(shard.sigma) in (int, float) and type(shard.where) is str
    assert shard.solved.shape[1] == len(shard.index) == len(shard.drift_H) and shard.where.encode() is not None
    assert np.ndim(shard.solved.mean()) == np.ndim(shard.kicks.mean()) == 0


def make_job(folder: Path) -> None:
    record = {"arguments": {"data": None, "k": 2, "sigma": [0.1, 0.2]}, "data_hash": "d", "settings": {"batch": 4}}
    (folder / "study.json").write_text(json.dumps(record))
    (folder / "scores.json").write_text(json.dumps({"trial-0": {"best": {"exact": 0.5, "seconds": 1.5}}}))


def use_job(folder: Path) -> None:
    record = {"arguments": {"data": None, "k": 2, "sigma": [0.1, 0.2]}, "data_hash": "d"}
    job = JobFolder(folder, "study")
    job.check(resume=True)
    job.start(record)
    assert job.read("study")["data_hash"] == "d" and isinstance(read_json(folder, "scores"), dict)


READERS = {
    "puzzle csv": (make_csv, use_csv, ".csv"),
    "npy folder": (make_npy, use_npy, None),
    "npz puzzle set": (make_npz, use_npz, None),
    "torch checkpoint": (make_torch, use_public, ".pt"),
    "safetensors checkpoint": (make_public_tensors, use_public, ".safetensors"),
    "json config": (make_config, use_public, ".json"),
    "yaml config": (make_yaml, use_public, ".yaml"),
    "checkpoint folder": (make_folder, use_folder, None),
    "result file v1, v2": (make_result, use_result, None),
    "shard": (make_shard, use_shard, None),
    "job folder": (make_job, use_job, None),
}
