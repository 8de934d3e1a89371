"""The proposers of a dream loop, by name. A new one is a class and a line here."""

from rrm.training.dream.propose import FreshSettings, Given, ProposerSettings, Unlabelled
from rrm.training.dream.walks import WalksSettings

PROPOSERS: dict[str, type[ProposerSettings]] = {
    "given": Given,
    "unlabelled": Unlabelled,
    "fresh": FreshSettings,
    "graph": WalksSettings,
}
