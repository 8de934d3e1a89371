"""Spectra of a training say what the whole analysis says, at any threshold; and files of spectra and of routing."""

import numpy as np
import pytest

from rrm.errors import InputError
from rrm.statistics.archive import save_archive
from rrm.statistics.fourier import fourier
from rrm.statistics.routing import Routing, RoutingTrace, load_routing, save_routing
from rrm.statistics.spectra import LOGITS, PARTS, load_spectra, save_spectra, spectra
from tests.statistics.test_fourier import ideal

P = 23


@pytest.fixture(scope="module")
def networks():
    """A noisy network whose waves have unlike weights, and a random one; their embedding, and the trained pairs."""
    rng = np.random.default_rng(0)
    logits = ideal(P, "subtract", (2, 5, 7), [4.0, 2.5, 1.2]) + 0.3 * rng.normal(size=(P, P, P))
    return logits, rng.normal(size=(P, P, P)), rng.normal(size=(P, 6)), rng.random((P, P)) < 0.4


@pytest.mark.parametrize("threshold", [0.05, 0.15, 0.5])
def test_a_threshold_acts_on_stored_arrays_as_on_the_network_itself(networks, threshold):
    logits, other, embedding, train = networks
    found = spectra("net", "subtract", [("initial", 0, other, embedding), ("final", 9, logits, embedding)], train, "id")
    for moment, of in enumerate((other, logits)):
        whole = fourier(of, "subtract", embedding, train, threshold)
        assert found.keys(moment, threshold).tolist() == whole.keys.tolist()
        assert found.embedding_keys(moment, threshold).tolist() == whole.embedding_keys.tolist()
        assert found.key_fve(moment, threshold) == pytest.approx(whole.key_fve, rel=1e-5)
        loss, accuracy = found.ablated(moment, threshold)
        for (kind, part), ablation in whole.ablations.items():
            at = LOGITS.index(kind), PARTS.index(part)
            assert loss[at] == pytest.approx(ablation.loss, rel=1e-5)
            assert accuracy[at] == pytest.approx(ablation.accuracy)
    assert len(found.keys(1, 0.05)) == 3 and len(found.keys(1, 0.5)) == 1


def test_files_of_spectra_and_of_routing_keep_what_they_are_given(networks, tmp_path):
    logits, _, embedding, train = networks
    found = [spectra(name, "subtract", [("final", 3, logits, embedding)], train) for name in ("one", "two")]
    save_spectra(found, tmp_path / "spectra.npz")
    again = load_spectra(tmp_path / "spectra.npz")
    assert [one.label for one in again] == ["one", "two"] and again[0].name.tolist() == ["final"]
    assert (again[1].plane == found[1].plane).all() and again[1].operation == "subtract" and again[0].run == ""
    weights = np.random.default_rng(0).dirichlet(np.ones(3), (P, P))
    answers = np.where(train, 1, -1)
    trace = RoutingTrace("net", "id", [Routing(step, answers, {"layer_0_mlp": weights}) for step in (0, 10)])
    save_routing([trace], tmp_path / "routing.npz")
    (back,) = load_routing(tmp_path / "routing.npz")
    assert [of.step for of in back.steps] == [0, 10] and back.run == "id" and (back.steps[1].answers == answers).all()
    assert np.abs(back.steps[1].weights["layer_0_mlp"] - weights).max() <= 0.5 / 255 + 1e-12
    save_routing([], tmp_path / "none.npz")
    assert load_routing(tmp_path / "none.npz") == []


def test_other_files_are_named(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(2))
    with pytest.raises(InputError, match=r"other\.npz.*no array 'names'.*run the analysis again"):
        load_spectra(tmp_path / "other.npz")
    broken = {name: np.zeros((1, 2)) for name in ("explained", "embedding_power", "inverse", "plane")}
    save_archive(tmp_path / "broken.npz", [broken])
    for load in (load_spectra, load_routing):
        with pytest.raises(InputError, match=r"broken\.npz"):
            load(tmp_path / "broken.npz")
