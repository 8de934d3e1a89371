"""Parts of a sweep without the sweep."""

from pathlib import Path

from rrm.jobs.data import DataKeys
from rrm.jobs.recipes import Recipes
from rrm.jobs.spec import Preset, SweepSpec


def keys_of(preset: Preset, spec: SweepSpec | None = None) -> DataKeys:
    """The single data set of a preset, or what a spec makes of it, unseen."""
    return DataKeys("tiny", {spec.data_of({}, preset) if spec else preset.data: ""}, {"": preset.task}, {"": "hash"})


def recipes_of(spec, preset: Preset, folder: Path = Path("nowhere")) -> Recipes:
    """The recipes of a spec, or of a function that makes one, in the folder of a job."""
    if not isinstance(spec, SweepSpec):
        spec = SweepSpec("tiny", ("trm_mlp",), lambda models: [], spec, "", {"default": preset})
    return Recipes.of_spec(spec, folder, preset, keys_of(preset, spec))
