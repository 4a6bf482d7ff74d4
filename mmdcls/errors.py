class InputError(ValueError):
    """A config, data set, checkpoint or disk that cannot serve: one sentence for the person."""
