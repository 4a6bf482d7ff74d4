"""Configs as mmengine spells them, not laid out by yapf, which takes half a second each time."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from mmengine.config import config


def spelled(text: str, **options: object) -> tuple[str, bool]:
    ast.parse(text)  # as yapf does
    return text, True


@contextmanager
def without_yapf() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "FormatCode", spelled)
        yield
