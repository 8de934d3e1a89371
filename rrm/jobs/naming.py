"""Names of trials and configurations in folders, tables and MLflow."""


def trial_name(config: dict) -> str:
    """The name of a trial in folders, tables and MLflow."""
    return f"trial-{config['trial']:03d}"


def config_columns(config: dict) -> dict[str, str]:
    """The axes of a configuration as text for a table."""
    return {
        key: f"{value:.3g}" if isinstance(value, float) else str(value)
        for key, value in config.items()
        if key != "trial"
    }
