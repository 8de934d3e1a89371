"""Checkpoints and configurations as people have them: containers, wrappers, grown depths, missing and foreign keys."""

import json
from argparse import Namespace

import pytest
import torch
import yaml
from safetensors.torch import save_file

from rrm.dynamics import rollout
from rrm.errors import InputError
from rrm.models import build, build_official, export_official, load_official, official_segments, variant
from rrm.models.public_file import read_checkpoint
from rrm.studies.sources import find_model, read_config

DATA = {"vocab_size": 6, "seq_len": 16, "num_puzzle_identifiers": 3}
SHAPE = {"hidden_size": 16, "num_heads": 2, "H_cycles": 2, "L_cycles": 2, "L_layers": 1, "puzzle_emb_ndim": 16}
NAMES = {
    "trm": "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1",
    "hrm": "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1",
    "srm": "recursive_reasoning.rsm@RSM",
}


def public(model_type: str = "trm_att") -> tuple[dict, dict]:
    """(weights, configuration) of a small model under the public names."""
    family = model_type[:3]
    prefix = {} if family == "hrm" else {"puzzle_emb_len": 16, "mlp_t": model_type.endswith("mlp")}
    torch.manual_seed(0)
    model = build(variant(model_type, **DATA, **SHAPE, **prefix))
    model.puzzle_emb.weights.normal_()
    arch = {"name": NAMES[family], **SHAPE, **prefix, "expansion": 4, "pos_encodings": model.config.pos_encodings}
    arch |= {"forward_dtype": "float32", "H_layers": 1, "halt_max_steps": 16, "loss": {"name": "losses@ACTLossHead"}}
    return export_official(model), DATA | arch


def without(config: dict, *keys: str) -> dict:
    return {key: value for key, value in config.items() if key not in keys}


def found(folder, content, config: dict | None, segments: int | None = None, weights: str = "best"):
    """What a study makes of a file with `content`, beside it the configuration as the public loops write it."""
    path = folder / "step_100"
    torch.save(content, path)
    if config is not None:
        beside = {key: config[key] for key in config if key in (*DATA, "active_L", "active_H") or "curriculum" in key}
        text = yaml.safe_dump({"arch": without(config, *beside), **beside, "lr": 1e-4})
        (folder / "all_config.yaml").write_text(text, encoding="utf-8")
    named = Namespace(run=None, checkpoint=str(path), config=None, segments=segments, weights=weights)
    return find_model(named, folder, "")


@pytest.mark.parametrize("model_type", ["trm_att", "hrm", "srm_mlp"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.module._forward_module.model.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: f"network.{name}",
        lambda name: name.replace("L_level.", "_orig_mod.L_level.").replace("core.", "_orig_mod.core.module."),
        lambda name: name.replace("layers.0.", "layers.0._checkpoint_wrapped_module._orig_mod."),
    ],
)
def test_wrappers_in_any_order_and_place(model_type, wrap):
    weights, config = public(model_type)
    plain = load_official(weights, config).state_dict()
    wrapped = load_official({wrap(name): value for name, value in weights.items()}, config).state_dict()
    assert wrapped.keys() == plain.keys() and all(torch.equal(wrapped[name], plain[name]) for name in plain)


class Foreign:
    """Something of the training loop that only its own code could make again."""

    def __init__(self):
        self.since = {1, 2}


@pytest.mark.parametrize(
    "contain",
    [
        lambda weights: {"state_dict": weights, "epoch": 3, "pytorch-lightning_version": "2.5", "callbacks": {}},
        lambda weights: {"model_state_dict": weights, "optimizer_state_dict": {"state": {0: {"step": torch.ones(1)}}}},
        lambda weights: {"module": weights, "ds_config": Foreign(), "seen": {1, 2}, "best": torch.Size((1,))},
        lambda weights: {"params": weights, "step": 7},
        lambda weights: {"train_state": {"model": {"state_dict": weights}, "args": Foreign()}, "rng": [torch.ones(3)]},
        lambda weights: {**weights, "step": 7, "n_averaged": torch.tensor(3)},
    ],
)
def test_containers_are_opened(tmp_path, contain):
    weights, config = public()
    source = found(tmp_path, contain(weights), config)
    assert source.segments == 16 and torch.equal(source.model.H_init, weights["inner.H_init"])


def test_a_file_without_weights_shows_what_it_has(tmp_path):
    path = tmp_path / "x.pt"
    for content, shown in (
        ({"epoch": 3, "net": {"conv.weight": torch.ones(2)}}, "'epoch'; 'net' with 'conv.weight'"),
        ({"blocks.0.attn.weight": torch.ones(2)}, "'blocks.0.attn.weight'"),
        (Foreign(), "but one object: it asks to call 'copy_reg._reconstructor|.*Foreign.*save the state_dict"),
    ):
        torch.save(content, path)
        with pytest.raises(InputError, match=shown) as error:
            read_checkpoint(path)
        assert "\n" not in str(error.value)
    weights, config = public()
    with pytest.raises(InputError, match=r"lack the key 'L_init' \(1 missing\) and hold the unknown key 'extra'"):
        load_official({**without(weights, "inner.L_init"), "extra": torch.ones(2)}, config)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    """Of a training that diverged, or beyond the range of float16."""
    weights, config = public()
    for name, value in (("H_init", torch.nan), ("L_init", 1e5)):
        changed = weights | {f"inner.{name}": torch.full((16,), value)}
        with pytest.raises(InputError, match=f"'{name}' have numbers that are not finite"):
            found(tmp_path, {key: each.half() for key, each in changed.items()}, config)


def test_averaged_weights_are_taken_and_others_are_named(tmp_path, capsys):
    weights, config = public("srm_mlp")
    # As the averages of the public loops: parameters alone, a tied one by its first name.
    kept = without(weights, "H_init", "L_init", "puzzle_emb.weights", "lm_head.weight")
    averaged = {f"module.{name}": value + 1 for name, value in kept.items()}
    content = {"model": weights, "ema": {"mu": 0.999, "shadow": averaged}}
    source = found(tmp_path, content, config)
    assert "weights   'ema.shadow' of step_100, which also holds 'model' (--weights NAME)" in capsys.readouterr().out
    assert torch.equal(source.model.lm_head.weight, weights["embed_tokens.embedding_weight"] + 1)
    assert torch.equal(source.model.H_init, weights["H_init"]) and source.provenance["weights"] == "ema.shadow"
    source = found(tmp_path, content, config, weights="model")
    assert torch.equal(source.model.lm_head.weight, weights["embed_tokens.embedding_weight"])
    with pytest.raises(InputError, match="no weights called 'swa'.*'model', 'ema.shadow'"):
        found(tmp_path, content, config, weights="swa")
    assert found(tmp_path, weights | {"ema": averaged}, config).provenance["weights"] == "ema"
    assert found(tmp_path, weights | {"ema": averaged}, config, weights=".").provenance["weights"] == "."
    both = {f"{side}.{name}": value for side in ("student", "teacher") for name, value in weights.items()}
    with pytest.raises(InputError, match="several sets of weights, 'student', 'teacher': name one"):
        found(tmp_path, both, config)
    assert found(tmp_path, both, config, weights="teacher").provenance["weights"] == "teacher"


PLAN = {"curriculum_L_milestones": [30.1], "curriculum_L_to_add": [10], "curriculum_milestones": [20.1]}
PLAN |= {"curriculum_heads_to_add": [6]}


@pytest.mark.parametrize("where", ["checkpoint", "configuration"])
def test_the_depth_that_srm_has_grown_to(tmp_path, where):
    weights, config = public("srm_mlp")
    grown = {"active_L": 12, "active_H": 8}
    content = {"model_state": weights, "step": 7484} | (grown if where == "checkpoint" else {})
    source = found(tmp_path, content, config | PLAN | (grown if where == "configuration" else {}))
    assert source.segments == 8 and source.model.segment_calls == ("L",) * 12 + ("H",)
    assert found(tmp_path, content, None, segments=3).segments == 3


def test_the_depth_beside_the_tensors_of_a_safetensors_file(tmp_path):
    weights, config = public("srm_mlp")
    save_file(without(weights, "lm_head.weight"), tmp_path / "x.safetensors", {"active_L": "12", "active_H": "8"})
    read = read_checkpoint(tmp_path / "x.safetensors")
    assert official_segments(read, config) == 8 and load_official(read, config).config.L_cycles == 12


def test_a_depth_that_nothing_tells_or_two_tell(tmp_path):
    weights, config = public("srm_mlp")
    source = found(tmp_path, weights, config)  # of a training without growth
    assert source.segments == 2 and source.model.segment_calls == ("L", "L", "H")
    with pytest.raises(InputError, match="L_cycles grew in training.*add active_L"):
        found(tmp_path, weights, config | PLAN)
    with pytest.raises(InputError, match="active_H.*give --segments"):
        found(tmp_path, weights, config | PLAN | {"active_L": 12})
    assert found(tmp_path, weights, config | PLAN | {"active_L": 12}, segments=8).segments == 8
    with pytest.raises(InputError, match="active_L is 3 in the configuration and 12 in the checkpoint"):
        found(tmp_path, {"model_state": weights, "active_L": 12}, config | {"active_L": 3})
    with pytest.raises(InputError, match="active_L is 0: it must be a whole number from 1"):
        found(tmp_path, {"model_state": weights, "active_L": 0}, config)
    with pytest.raises(InputError, match="'num_heads' is 2, and 4 in the checkpoint's own"):
        found(tmp_path, {"model_state": weights, "config": {"arch": {"num_heads": 4}}}, config)


def test_a_checkpoint_may_bring_its_configuration(tmp_path):
    weights, config = public("srm_mlp")
    own = {"arch": without(config, *DATA), **DATA}
    assert found(tmp_path, {"model_state": weights, "active_H": 5, "config": own}, None).segments == 5
    with pytest.raises(InputError, match="latest_config.yaml, all_config.yaml.* lies beside it.*needs its --config"):
        found(tmp_path, weights, None)


def test_the_family_is_that_of_the_name_else_of_the_weights():
    for model_type in ("trm_att", "hrm", "srm_att"):
        weights, config = public(model_type)
        config |= {"mlp_t": False, "no_ACT_continue": True}  # HRM as in TRM's repository
        named, unnamed = load_official(weights, config), load_official(weights, without(config, "name"))
        assert type(named) is type(unnamed) and type(named).__name__.lower() == model_type[:3]
    with pytest.raises(InputError, match="trm@Tiny.*is TRM, and the weights are those of HRM"):
        load_official(public("hrm")[0], public("trm_att")[1])
    with pytest.raises(InputError, match="trm_singlez@.*a model that rrm does not have"):
        build_official(config | {"name": NAMES["trm"].replace("trm@", "trm_singlez@")})
    with pytest.raises(InputError, match="'mlp_t' is True: only False is supported for HRM"):
        build_official(public("hrm")[1] | {"mlp_t": True})


@pytest.mark.parametrize("model_type", ["trm_mlp", "hrm", "srm_att"])
def test_missing_keys_get_the_default_of_the_public_class_or_are_asked_for(model_type):
    weights, config = public(model_type)
    required = [*DATA, "H_cycles", "L_cycles", "L_layers", "hidden_size", "expansion", "num_heads"]
    required += {"trm": ["pos_encodings"], "hrm": ["pos_encodings", "H_layers"], "srm": []}[model_type[:3]]
    for key in required:
        with pytest.raises(InputError, match=f"lacks the key '{key}'"):
            load_official(weights, without(config, key))
    made = build_official(without(config, "forward_dtype", "puzzle_emb_len", "mlp_t"))
    assert made.config.forward_dtype == "bfloat16" and made.config.attention
    assert made.config.prefix == (1 if model_type == "hrm" else 16)
    if model_type == "srm_att":
        assert build_official(without(config, "pos_encodings")).config.pos_encodings == "none"
        assert official_segments(weights, without(config, "halt_max_steps")) == config["H_cycles"]
    else:
        assert official_segments(weights, without(config, "halt_max_steps")) is None


def test_all_missing_keys_are_named_at_once():
    missing = "lacks the keys 'vocab_size', 'seq_len', 'num_puzzle_identifiers'.*from dataset.json"
    with pytest.raises(InputError, match=missing):
        build_official(without(public()[1], *DATA))


def test_references_and_numbers_of_the_yaml_files(tmp_path):
    config = public()[1]
    (tmp_path / "a.json").write_text(json.dumps(config), encoding="utf-8-sig")
    assert read_config(tmp_path / "a.json") == config
    made = build_official(config | {"puzzle_emb_ndim": "${.hidden_size}", "rms_norm_eps": "1e-5", "rope_theta": 10000})
    assert made.config.puzzle_emb_ndim == 16
    assert build_official(config | {"rope_theta": "1e4"}).config == build_official(config).config
    with pytest.raises(InputError, match="'rms_norm_eps' is '1e-6': only 1e-05"):
        build_official(config | {"rms_norm_eps": "1e-6"})


@pytest.mark.parametrize("model_type", ["srm_att", "srm_mlp"])
def test_no_puzzle_vector_is_no_prefix(model_type):
    config = public(model_type)[1] | {"puzzle_emb_ndim": 0, "puzzle_emb_len": 16}
    torch.manual_seed(0)
    bare = build(variant(model_type, **DATA, **SHAPE | {"puzzle_emb_ndim": 0})).eval()
    loaded = load_official(export_official(bare), config)
    batch = {"inputs": torch.randint(1, 6, (2, 16)), "puzzle_identifiers": torch.zeros(2, dtype=torch.int64)}
    ours, expected = (rollout(model, batch, 2) for model in (loaded, bare))
    assert ours.z_H.shape == (2, 2, 16, 16) and torch.equal(ours.logits, expected.logits)


def test_a_prefix_that_the_public_trm_cannot_run_is_refused():
    with pytest.raises(InputError, match="puzzle_emb_len is 16 and puzzle_emb_ndim is 0.*set puzzle_emb_len to 0"):
        build_official(public()[1] | {"puzzle_emb_ndim": 0})
