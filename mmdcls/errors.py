class InputError(ValueError):
    """A config, data set, checkpoint or disk that cannot serve: one sentence for the person."""


class TrainingError(RuntimeError):
    """Training that cannot go on: one sentence for the person."""
