class InputError(ValueError):
    """A config, a data set or a checkpoint that cannot serve: one sentence for the person."""


class TrainingError(RuntimeError):
    """Training that cannot go on: one sentence for the person."""
