"""rrm: train recursive reasoning models, sweep their perturbations, measure the stability of every rollout."""

__version__ = "0.1.0"
