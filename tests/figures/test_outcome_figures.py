"""Figures 1 and 2: what they say and draw, also where a class is missing, tiny or without spread."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from rrm.dynamics import Settings, measure, save_result
from rrm.figures import lambda_distributions, leading_spectrum, save
from rrm.figures.style import FULL
from rrm.models import build, variant
from rrm.statistics import OutcomePanel, separation
from rrm.tasks import get_task

SCRIPT = Path(__file__).parents[2] / "analysis" / "outcome_figures.py"


def panel(n_solved=40, n_failed=20, k=4, spread=0.03, label="TRM"):
    rng = np.random.default_rng(0)
    solved = np.arange(n_solved + n_failed) < n_solved
    leading = np.where(solved, -0.05, 0.03) * (spread > 0) + spread * rng.normal(size=solved.size)
    drift = np.exp(rng.normal(np.where(solved, 0, 1), 1))
    return OutcomePanel(label, leading[:, None] - 0.01 * np.arange(k), solved, drift)


DEGENERATE = {
    "none failed": panel(40, 0),
    "none solved": panel(0, 6),
    "three failed": panel(30, 3),
    "two puzzles": panel(1, 1),
    "no puzzles": panel(0, 0),
    "one exponent": panel(k=1),
    "no spread": panel(spread=0),
    "rounding noise": panel(spread=1e-12),
}


def words(ax):
    texts = [text.get_text() for text in ax.texts]
    legend = ax.get_legend()
    return "\n".join(texts + ([text.get_text() for text in legend.get_texts()] if legend else []))


def test_distributions_state_the_statistics_they_draw():
    data = panel()
    (ax,) = lambda_distributions([data]).axes
    found = separation(data)
    assert f"AUC($\\lambda_1$) = {found.lambda_1:.2f}" in words(ax)
    assert f"AUC(late drift) = {found.late_drift:.2f}" in words(ax)
    for name, members in (("solved", data.solved), ("failed", data.failed)):
        median = f"{np.median(data.lambda_1[members]):+.3f}".replace("-", "\N{MINUS SIGN}")
        assert f"{members.sum()} {name}, median {median}" in words(ax)


def test_distributions_draw_every_puzzle_on_common_bins():
    data = panel()
    (ax,) = lambda_distributions([data]).axes
    outlines = [patch for patch in ax.patches if not patch.get_fill()]
    (solved, edges, _), (failed, same, _) = (outline.get_data() for outline in outlines)
    assert solved.sum() == pytest.approx(100) and failed.sum() == pytest.approx(100)
    assert np.array_equal(edges, same)
    assert solved[0] == solved[-1] == failed[0] == failed[-1] == 0  # the outlines close inside the axes


@pytest.mark.parametrize("make", [lambda_distributions, leading_spectrum])
def test_axes_carry_units_and_panels_letters(make):
    figure = make([panel(label="TRM"), panel(label="HRM")])
    axes = figure.axes
    assert figure.get_figwidth() == FULL and len(axes) == 2
    assert "nats per call" in axes[0].get_xlabel() + axes[0].get_ylabel()
    assert [ax.get_title(loc="left")[-3:] for ax in axes] == ["TRM", "HRM"]
    assert "{b}" in axes[1].get_title(loc="left")


@pytest.mark.parametrize("make", [lambda_distributions, leading_spectrum])
def test_degenerate_panels_are_drawn(make):
    assert len(make(list(DEGENERATE.values())).axes) == len(DEGENERATE)


@pytest.mark.parametrize(
    ("case", "reason"), [("none failed", "none of 40 failed"), ("three failed", "only 3 of 33 failed")]
)
def test_too_small_a_class_has_words_for_an_auc(case, reason):
    (ax,) = lambda_distributions([DEGENERATE[case]]).axes
    assert f"{reason}: too few for an AUC" in words(ax) and "AUC(" not in words(ax)


def test_a_small_class_is_drawn_puzzle_by_puzzle():
    (ax,) = lambda_distributions([panel(30, 3)]).axes
    assert sum(line.get_marker() == "|" and len(line.get_xdata()) == 3 for line in ax.lines) == 1
    assert len([patch for patch in ax.patches if not patch.get_fill()]) == 1


def test_spectrum_draws_medians_and_quartiles():
    data = panel()
    (ax,) = leading_spectrum([data]).axes
    _, solved, failed = ax.lines  # the zero line first
    assert solved.get_ydata() == pytest.approx(np.median(data.lambda_spectrum[data.solved], axis=0))
    assert failed.get_ydata() == pytest.approx(np.median(data.lambda_spectrum[data.failed], axis=0))
    assert failed.get_xdata().tolist() == [1, 2, 3, 4]
    low, high = np.quantile(data.lambda_spectrum[data.solved, 0], [0.25, 0.75])
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].max(), band[band[:, 0] == 1, 1].min()) == pytest.approx((high, low))


@pytest.mark.parametrize("case", ["none failed", "no spread", "three failed"])
def test_names_beside_the_lines_do_not_overlap(case):
    figure = leading_spectrum([DEGENERATE[case]])
    first, second = (text.get_window_extent() for text in figure.axes[0].texts)
    assert not first.overlaps(second)


def test_spectra_share_their_y_axis():
    first, second = leading_spectrum([panel(), panel(spread=0.3)]).axes
    assert first.get_ylim() == second.get_ylim()


@pytest.mark.parametrize("make", [lambda_distributions, leading_spectrum])
def test_a_figure_needs_a_panel(make):
    with pytest.raises(ValueError, match="at least one panel"):
        make([])


def test_saving_writes_a_png_and_leaves_the_settings_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    save(leading_spectrum([panel()]), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before


def test_the_script_draws_a_result_with_puzzles_that_are_not_finite(tmp_path, monkeypatch, capsys):
    task = get_task("sudoku-4x4")
    model = build(variant("trm_mlp", vocab_size=6, seq_len=16, hidden_size=16, H_cycles=1, L_cycles=1)).eval()
    settings = Settings(
        k=2, segments=5, calls_per_segment=2, seed=0, precision="float32", model="{}", task=task.name,
        checkpoint_hash="c", data_hash="d",
    )  # fmt: skip
    whole = measure(model, task.generate(20, seed=0), task, settings)
    finite, exponents, drift = whole.finite.copy(), whole.lambda_per_call.copy(), whole.drift_H.copy()
    finite[3], exponents[3], drift[3, -1] = False, np.nan, np.inf
    broken = replace(whole, finite=finite, lambda_per_call=exponents, drift_H=drift, solved=np.arange(20) < 10)
    save_result(broken, tmp_path / "r.safetensors")
    argv = ["outcome_figures", "--result", str(tmp_path / "r.safetensors"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", argv)
    runpy.run_path(str(SCRIPT), run_name="__main__")
    printed = capsys.readouterr().out
    assert "on 10 failed and" in printed and "on 9 solved puzzles" in printed
    assert "; 1 more left out, whose numbers are not finite)." in printed
    assert len(list(tmp_path.glob("*.png"))) == 2
