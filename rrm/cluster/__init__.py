"""Everything that knows Ray: fit check, Tune sweep, Train DDP, task fan-out. Modules import Ray when they run."""
