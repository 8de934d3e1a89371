"""Panels: which series of a training run are drawn together, on one axis. Light to import."""

from collections.abc import Mapping
from dataclasses import dataclass

# Train accuracy of a run that has memorised, and test accuracy of one that has grokked.
MEMORISED, GROKKED = 0.98, 0.95
LAYERS = "probe/layers"  # in front of the series of single layers


@dataclass(frozen=True)
class Panel:
    """One panel: series that share an axis.

    Attributes:
        title: with the unit of the axis, where there is one.
        series: names of series, by their name in the panel; a name with a * stands for all that fit.
        log: whether the axis is logarithmic.
        levels: values at which a line is drawn.
    """

    title: str
    series: Mapping[str, str]
    log: bool = False
    levels: tuple[float, ...] = ()


# Figures of a report, and tabs of the explorer, by name. A panel whose series no run has is left out, and so is a
# figure without a panel.
HISTORIES: Mapping[str, tuple[Panel, ...]] = {
    "training": (
        Panel("loss (nats)", {"test": "test/loss", "train": "train/loss"}, log=True),
        Panel("accuracy", {"test": "test/accuracy", "train": "train/accuracy"}, levels=(GROKKED, MEMORISED)),
        Panel("learning rate", {"": "learning_rate"}),
    ),
    "weights": (
        Panel("norm of all weights", {"all": "probe/weight_norm/total", "decayed": "probe/weight_norm/decayed"}),
        Panel("norm by layer", {"": "probe/weight_norm/layer/*"}),
        Panel("norm of the update", {"": "probe/update_norm/total"}, log=True),
        Panel("representation norm", {"": "probe/representation/norm"}),
        Panel("logit scale", {"test": "probe/logits/scale", "train": "probe/logits/scale_train"}, log=True),
    ),
    "curvature": (
        Panel("Jacobian, squared norm", {"": "probe/jacobian/squared_frobenius"}, log=True),
        Panel("input Hessian, trace", {"": "probe/input_hessian/trace"}),
        Panel("gradient norm", {"": "probe/gradient/norm"}, log=True),
        Panel("weight Hessian", {"trace": "probe/hessian/trace", "largest": "probe/hessian/largest"}, log=True),
        Panel("Fisher trace", {"": "probe/fisher/trace"}, log=True),
        Panel(
            "sharpness / threshold",
            {"": "probe/preconditioned_sharpness/ratio"},
            log=True,
            levels=(1.0,),
        ),
    ),
    "optimizer": (
        Panel(
            "effective learning rate",
            {"mean": "probe/adam/effective_lr_mean", "max": "probe/adam/effective_lr_max"},
            log=True,
        ),
        Panel("Adam ratio", {"mean": "probe/adam/ratio_mean", "max": "probe/adam/ratio_max"}),
        Panel("update / decay", {"": "probe/adam/update_to_decay"}, levels=(1.0,)),
        Panel("noise scale (rows)", {"": "probe/gradient/noise_scale"}, log=True),
        Panel("cosine weights, descent", {"": "probe/alignment/descent"}),
        Panel("rows without a gradient", {"": "probe/lost_gradient/rows"}),
    ),
    "structure": (
        Panel("Gini of the embedding", {"": "probe/fourier/gini*"}),
        Panel("key frequencies", {"": "probe/fourier/keys*"}),
        Panel("variance explained", {"operation": "probe/structure/explained", "inverse": "probe/structure/inverse"}),
        Panel(
            "ablated loss (nats)",
            {"restricted": "probe/structure/restricted_loss", "excluded": "probe/structure/excluded_loss"},
            log=True,
        ),
        Panel("power at low frequencies", {"": "probe/structure/low_frequencies*"}),
        Panel("learning coefficient", {"": "probe/llc/coefficient"}),
        Panel("cosine of heads", {"": "probe/heads/cosine"}),
    ),
    "action": (
        Panel("kinetic action", {"": "probe/path/kinetic_action"}),
        Panel("path and displacement", {"path": "probe/path/length", "displacement": "probe/path/displacement"}),
        Panel(
            "function action",
            {"test": "probe/path/function_action", "train": "probe/path/function_action_train"},
            levels=(1.0,),
        ),
    ),
    "layers": (
        Panel("norm of what leaves a layer", {"": f"{LAYERS}/representation/*"}),
        Panel("Jacobian, squared norm", {"": f"{LAYERS}/jacobian/*"}, log=True),
        Panel("input Hessian, trace", {"": f"{LAYERS}/input_hessian/*"}),
        Panel("weight Hessian, trace", {"": "probe/hessian/trace/*"}, log=True),
    ),
    "stability": (
        Panel("growth rate of nearby trainings (nats per step)", {"": "stability/rate"}, levels=(0.0,)),
        Panel("growth since the window began (nats)", {"": "stability/growth/*"}),
    ),
    "rounds": (
        Panel(
            "p of accepted, pass@1, pass@K",
            {
                "accepted": "dream/p_hat",
                "pass@1": "dream/pass_1",
                "pass@K": "dream/pass_K",
                "pass@1 by the label": "dream/exact_1",
            },
        ),
        Panel("yield and corrections", {"yield": "dream/yield", "corrections": "dream/corrections"}),
        Panel("noise (state units)", {"": "dream/sigma"}, log=True),
        Panel("kept attempts", {"": "dream/kept"}),
        Panel(
            "kept by tier (share)",
            {"easy": "dream/kept_tier_1", "middle": "dream/kept_tier_2", "hard": "dream/kept_tier_3"},
        ),
        Panel(
            "tried by tier (share)",
            {"easy": "dream/tried_tier_1", "middle": "dream/tried_tier_2", "hard": "dream/tried_tier_3"},
        ),
        Panel("false accepts (share)", {"": "dream/false_accepts"}),
        Panel("kept answers that are the label (share)", {"": "dream/kept_exact"}),
    ),
    "computation": (
        Panel("effective depth (layers)", {"": "gates/effective_depth"}),
        Panel("gates", {"": "gates/layer_*"}),
        Panel("routing entropy (nats)", {"": "routing/entropy"}),
        Panel("use of heads", {"": "routing/*/head_*"}),
        Panel("delta rule", {"decay": "probe/gates/alpha", "writing": "probe/gates/beta"}),
        Panel("half-life (cells)", {"": "probe/gates/half_life"}, log=True),
        Panel("norm of the last state", {"": "probe/gates/state_norm"}),
    ),
}
