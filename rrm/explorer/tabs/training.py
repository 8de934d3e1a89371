"""Training: losses, accuracies and learning rate, of tables as of puzzles."""

from rrm.explorer.tabs.panels import panel_tab
from rrm.panels import GROKKED, HISTORIES, MEMORISED, Panel

PANELS = (
    Panel(
        "loss (nats)",
        {"test": "test/loss", "train": "train/loss", "answer": "train/lm_loss", "halting": "train/q_loss"},
        log=True,
    ),
    Panel(
        "accuracy",
        {"test": "test/accuracy", "train": "train/accuracy", "validation": "validation/exact", "seen": "train/exact"},
        levels=(GROKKED, MEMORISED),
    ),
    Panel("accuracy at halting", {"validation": "validation/exact_at_halting"}),
    Panel("cells right", {"validation": "validation/cells", "seen": "train/cells"}),
    *HISTORIES["training"][2:],
    Panel("segments until halting", {"validation": "validation/halting_segment", "train": "train/segments_per_puzzle"}),
    Panel(
        "realised noise",
        {
            "": "perturbation/realised_sigma",
            "z_H": "perturbation/realised_sigma_z_H",
            "z_L": "perturbation/realised_sigma_z_L",
        },
    ),  # fmt: skip
    Panel("flossing, λ₁ (nats per call)", {"before": "flossing/lambda_1_before", "after": "flossing/lambda_1_after"}),
)
TAB = panel_tab("training", "Training", PANELS, "python tune_specs/perturb_sweep.py --preset smoke")
