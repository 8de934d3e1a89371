"""When does a network that has memorised its training pairs begin to know the others? Modular arithmetic, over seeds.

    python tune_specs/grokking_sweep.py                     # within ten minutes on two CPU cores
    python tune_specs/grokking_sweep.py --preset smoke      # a minute, to see the pipeline work
    python tune_specs/grokking_sweep.py --preset eighteen   # transformer: p x learning rate x weight decay; many hours
    python tune_specs/grokking_sweep.py --preset depth      # gated networks over prices of computation
    python tune_specs/grokking_sweep.py --p 37 --weight-decay 0 1 --seeds 5

Every combination of the values of the axes below is trained on every seed, and none is stopped early. Each axis has an
option of its name, which takes one or several values; axes of several values name the arms. Steps of grokking are
medians with ranges over seeds, a run that never groks counts as censored at its last step, and arms are compared by
their curves of Kaplan and Meier from five seeds on.
"""

from rrm.commands.sweep import run_command
from rrm.jobs.grid import Axis, GridPreset, GridSpec
from rrm.jobs.spec import Preset

AXES = {
    "model": Axis(("token_mlp", "transformer"), "networks: token_mlp, transformer, single_head, routed_mlp, "
                  "routed_transformer, gated_mlp, gated_transformer"),
    # the table
    "operations": Axis(("add",), "add, subtract, multiply or divide; add+multiply is a table of both"),
    "p": Axis((59,), "modulus; a prime for divide"),
    "train_share": Axis((0.6,), "share of the pairs that are for training"),
    "data_seed": Axis((0,), "seed of the split"),
    "twins": Axis((True,), "keep (a, b) and (b, a) of a commutative operation on one side of the split, yes or no"),
    # the network
    "hidden_size": Axis((64,), "width of embeddings and stream"),
    "mlp_size": Axis((256,), "units of a hidden layer"),
    "num_layers": Axis((1,), "layers"),
    "num_heads": Axis((4,), "heads of attention"),
    "num_ffn_heads": Axis((4,), "heads of a routed feed-forward layer"),
    "activation": Axis(("relu",), "relu or gelu"),
    "norm": Axis(("none",), "none or pre, a LayerNorm before each sublayer of a transformer"),
    "tied": Axis((False,), "unembed a transformer with its embeddings, yes or no"),
    # the loss, and what is added to it
    "loss": Axis(("cross_entropy",), "cross_entropy or stablemax"),
    "precision": Axis(("float32",), "of the loss, float32 or float64"),
    "routing": Axis(("none",), "regulariser of the routing: none, entropy, sparsity, gini or consistency"),
    "routing_weight": Axis((0.01,), "weight of the regulariser"),
    "price": Axis((0.0,), "nats for a cost of 1 of the open gates"),
    "cost": Axis(("sum",), "of open gates: sum, flops or entropy"),
    "smoothness": Axis((0.0,), "nats for logits without low frequencies over the table of pairs"),
    "smooth_radius": Axis((0.25,), "of low frequencies, as a share of p"),
    "smooth_every": Axis((1,), "steps between two that count smoothness"),
    # the optimizer
    "optimizer": Axis(("adamw",), "adamw, adam, sgd, adam_atan2 or muon"),
    "lr": Axis((3e-3,), "learning rate"),
    "weight_decay": Axis((0.0, 1.0), "weight decay"),
    "beta1": Axis((0.9,), "decay of Adam's first moment"),
    "beta2": Axis((0.98,), "decay of Adam's second moment"),
    "eps": Axis((1e-8,), "of Adam"),
    "momentum": Axis((0.0,), "of sgd"),
    "schedule": Axis(("constant",), "of the learning rate: constant or cosine"),
    "warmup_steps": Axis((10,), "steps of linear warm-up"),
    "clip_norm": Axis((None,), "bound on the norm of the gradient, or none", optional=True),
    "batch_size": Axis((0,), "training pairs of a step; 0 for all"),
    "gradient_filter": Axis(("none",), "amplify slow gradients (Grokfast): none, ema or window"),
    "filter_gain": Axis((2.0,), "of the slow part"),
    "filter_decay": Axis((0.98,), "of ema"),
    "filter_window": Axis((100,), "steps of window"),
    # the journal
    "every": Axis((25,), "steps between two rows of the journal, the resolution of all events"),
    "stop_after": Axis((200,), "end a run so many steps after 99 % of the test pairs are right; none", optional=True),
    # what is kept beside the checkpoint
    "snapshot_every": Axis((500,), "steps between two snapshots of the weights; none", optional=True),
}  # fmt: skip

PUBLISHED = {
    "model": ("transformer",), "operations": ("add",), "p": (17, 113), "train_share": (0.5,), "twins": (False,),
    "hidden_size": (128,), "mlp_size": (512,), "num_layers": (2,), "activation": ("gelu",), "norm": ("pre",),
    "lr": (3e-4, 1e-3, 3e-3), "weight_decay": (0.5, 1.0, 2.0), "warmup_steps": (500,), "clip_norm": (1.0,),
    "every": (100,), "stop_after": (None,), "snapshot_every": (10_000,),
}  # fmt: skip

PRICED = {
    "model": ("gated_mlp", "gated_transformer"), "p": (31,), "train_share": (0.7,), "num_layers": (4,),
    "weight_decay": (1.0,), "price": (0.0, 1e-3, 1e-2, 1e-1), "stop_after": (1000,),
}  # fmt: skip

# What weights, curvature, optimizer, structure and path do meanwhile, slow probes at every 128th step.
PROBES = {"preset": "standard", "every": 16, "budget": 0.1}

PRESETS = {
    "default": GridPreset(Preset(trials=0, seeds=3, steps=5000, evaluations=5)),
    "smoke": GridPreset(
        Preset(trials=0, seeds=2, steps=2000, evaluations=2),
        {"model": ("token_mlp",), "p": (31,), "train_share": (0.7,)},
    ),
    "eighteen": GridPreset(Preset(trials=0, seeds=1, steps=100_000, evaluations=10), PUBLISHED),
    "depth": GridPreset(Preset(trials=0, seeds=3, steps=5000, evaluations=5), PRICED),
}  # fmt: skip


def recipe(config, task, preset, seed):
    """The training run of one combination, a value of every axis."""
    from rrm.training.grokking import grokking

    def of(*names):
        return {name: config[name] for name in names}

    filtered = {
        "filter": config["gradient_filter"], "gain": config["filter_gain"], "decay": config["filter_decay"],
        "window": config["filter_window"],
    }  # fmt: skip
    hooks = {} if config["gradient_filter"] == "none" else {"gradient_filter": filtered}
    if config["snapshot_every"] is not None:
        hooks["snapshots"] = {"every": config["snapshot_every"]}
    return grokking(
        config["model"],
        operations=config["operations"].split("+"),
        **of("p", "train_share", "data_seed", "twins", "batch_size"),
        steps=preset.steps,
        network=of("hidden_size", "mlp_size", "num_layers", "num_heads", "num_ffn_heads", "activation", "norm", "tied"),
        journal=of("every", "stop_after"),
        hooks=hooks,
        optimizer={"kind": config["optimizer"]},
        betas=(config["beta1"], config["beta2"]),
        **of("lr", "weight_decay", "eps", "momentum", "schedule", "warmup_steps", "clip_norm"),
        **of("loss", "precision", "routing", "routing_weight", "price", "cost"),
        **of("smoothness", "smooth_radius", "smooth_every"),
        evaluations=preset.evaluations,
        seed=seed,
    )


SPEC = GridSpec(
    name="grokking_sweep",
    axes=AXES,
    presets=PRESETS,
    recipe=recipe,
    matching="Arms are equal in steps; a run ends early once it knows the test pairs.",
    shown=("p", "weight_decay"),
    rest={"stages": ("grokking", "log"), "score": "test_accuracy", "probes": PROBES},
)

if __name__ == "__main__":
    run_command(SPEC, __doc__)
