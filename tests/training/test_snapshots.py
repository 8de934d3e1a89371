"""Snapshots of a training: right weights of right steps, also after a crash, and no trace in the training."""

import pytest
import torch

from rrm.errors import InputError
from rrm.training import checkpoint
from rrm.training.assemble import assemble
from rrm.training.grokking import grokking
from rrm.training.snapshots import load_snapshot, snapshot_steps


def small(**changes):
    torch.set_num_threads(1)
    network = {"hidden_size": 8, "mlp_size": 16, "num_ffn_heads": 2}
    return grokking("routed_mlp", p=7, train_share=0.5, steps=12, evaluations=3, network=network, **changes)


def test_snapshots_are_the_averaged_weights_of_their_steps_also_after_a_crash(tmp_path):
    made = small(hooks={"snapshots": {"every": 3}}, ema_decay=0.9)
    whole, plain = assemble(made), assemble(small(ema_decay=0.9))
    seen = {}
    for _ in whole.run():
        seen[whole.step] = whole.ema.weights(whole.model)
    [*plain.run()]
    assert all(torch.equal(value, plain.model.state_dict()[name]) for name, value in whole.model.state_dict().items())
    broken = assemble(made)
    next(run := broken.run())
    broken.save(tmp_path, "")
    next(run)  # which a crash takes
    resumed = assemble(made)
    resumed.load(tmp_path)
    [*resumed.run()]
    for folder, trainer in (("whole", whole), ("resumed", resumed)):
        (tmp_path / folder).mkdir()
        trainer.save(tmp_path / folder, "")
    assert snapshot_steps(tmp_path) == [3] and snapshot_steps(tmp_path / "resumed") == [3, 6, 9, 12]
    for step in (3, 6, 9, 12):
        one, other = (load_snapshot(tmp_path / folder, step).state_dict() for folder in ("whole", "resumed"))
        assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert all(torch.equal(value, seen[12][name]) for name, value in one.items())
    final = checkpoint.load_model(tmp_path / "whole", "final").state_dict()
    assert all(torch.equal(value, final[name]) for name, value in one.items())


def test_what_there_is_no_snapshot_of_is_said(tmp_path):
    run = assemble(small())
    [*run.run()]
    run.save(tmp_path, "")
    assert snapshot_steps(tmp_path) == []
    with pytest.raises(InputError, match="has no snapshot of step 3: it has none"):
        load_snapshot(tmp_path, 3)
    with pytest.raises(InputError, match="every of the snapshots is 0: use a number of steps from 1"):
        assemble(small(hooks={"snapshots": {"every": 0}}))
    run = assemble(small(hooks={"snapshots": {"every": 5}}))
    [*run.run()]
    run.save(tmp_path, "")
    with pytest.raises(InputError, match="no snapshot of step 3: it has those of steps 5, 10"):
        load_snapshot(tmp_path, 3)
    (tmp_path / "snapshots.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="snapshots.safetensors: not a readable safetensors file"):
        load_snapshot(tmp_path, 5)
