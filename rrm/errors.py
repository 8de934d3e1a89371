"""The one exception for input that the user can put right."""


class InputError(ValueError):
    """Bad input: one line that names the value, what is allowed and the way out. Commands print it and exit with 2."""
