"""Public configurations and state dicts: what is read, what is written, what is refused."""

import numpy as np
import pytest
import torch

from rrm.errors import InputError
from rrm.models import build_official, export_official, load_official, read_checkpoint

OFFICIAL = ("trm_mlp", "trm_att", "hrm", "srm_mlp")


@pytest.mark.parametrize("name", OFFICIAL)
def test_export_returns_what_was_loaded(reference, name):
    ref = reference(name)
    exported = export_official(load_official(ref["state"], ref["config"]))
    assert exported.keys() == ref["state"].keys()
    assert all(torch.equal(value, torch.from_numpy(ref["state"][key])) for key, value in exported.items())
    again = export_official(load_official(exported, ref["config"]))
    assert all(torch.equal(again[key], value) for key, value in exported.items())


@pytest.mark.parametrize("name", OFFICIAL)
def test_keys_with_wrappers_and_errors(reference, name):
    ref = reference(name)
    wrapped = {f"_orig_mod.model.{key}": value for key, value in ref["state"].items()}
    model = load_official(wrapped, ref["config"])
    for key, value in ref["state"].items():
        assert torch.equal(model.state_dict()[key.removeprefix("inner.")], torch.from_numpy(value))
    with pytest.raises(InputError, match="'H_init'.*missing"):
        load_official({k: v for k, v in wrapped.items() if "H_init" not in k}, ref["config"])
    with pytest.raises(InputError, match="unknown key 'extra'"):
        load_official(wrapped | {"extra": np.zeros(2)}, ref["config"])
    with pytest.raises(InputError, match=r"'embed_tokens.embedding_weight' have shape \(6, 16\).*\(7, 16\)"):
        load_official(wrapped, ref["config"] | {"vocab_size": 7})
    with pytest.raises(InputError, match="'pos_encoding' is unknown"):
        build_official(ref["config"] | {"pos_encoding": "rope"})
    with pytest.raises(InputError, match="lacks the key 'seq_len'"):
        build_official({key: value for key, value in ref["config"].items() if key != "seq_len"})
    with pytest.raises(InputError, match="'causal' is True: only False"):
        build_official(ref["config"] | {"causal": True})


def test_settings_of_the_srm_training_loop_are_passed_over(reference):
    config = reference("srm_mlp")["config"]
    growth = {"curriculum_milestones": [20.1, 40.1], "curriculum_heads_to_add": [1, 1], "optimizer_reset_scale": 1}
    assert build_official(config | growth).config == build_official(config).config
    with pytest.raises(InputError, match="'curriculum_milestone' is unknown"):
        build_official(config | {"curriculum_milestone": [20.1]})


def test_a_head_that_left_the_token_table_is_refused(reference):
    ref = reference("srm_mlp")
    with pytest.raises(InputError, match="'lm_head.weight' differ from 'embed_tokens.embedding_weight'"):
        load_official(ref["state"] | {"lm_head.weight": ref["state"]["lm_head.weight"] + 1}, ref["config"])


def test_foreign_configuration():
    with pytest.raises(InputError, match="no known public model.*'mlp_t'.*'H_layers'.*'prob_detach_prev_H'"):
        build_official({"hidden_size": 64})


class Thief:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_checkpoint_files_are_read_as_weights_alone(reference, tmp_path):
    ref = reference("srm_mlp")
    weights = {key: torch.from_numpy(value) for key, value in ref["state"].items()}
    path = tmp_path / "step_1"
    for content in (weights, {"model_state": weights, "step": 7, "config": {"arch": "srm"}}):
        torch.save(content, path)
        assert torch.equal(load_official(read_checkpoint(path), ref["config"]).H_init, weights["H_init"])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="step_1: not a readable checkpoint of weights alone"):
        read_checkpoint(path)
    torch.save({"model_state": Thief(tmp_path / "stolen")}, path)
    with pytest.raises(InputError, match="asks to call '(__builtin__|io).open'"):
        read_checkpoint(path)
    assert not (tmp_path / "stolen").exists()
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="holds no weights of TRM, HRM or SRM, but a list"):
        read_checkpoint(path)
    with pytest.raises(InputError, match="no such file"):
        read_checkpoint(tmp_path / "none")
