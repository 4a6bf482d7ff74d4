"""Annotation files in COCO's layout, read once."""

import json
from functools import lru_cache
from typing import Any

from mmdcls.errors import InputError


@lru_cache(maxsize=2)
def read(file: str) -> dict[str, Any]:
    try:
        with open(file, encoding="utf-8") as opened:
            content = json.load(opened)
    except ValueError as error:
        raise damaged(file, error) from error
    if not isinstance(content, dict) or "images" not in content:
        raise damaged(file, "it is not in COCO's layout")
    return content


def damaged(file: str, fault: object) -> InputError:
    return InputError(
        f"The annotation file {file} is damaged ({fault}); write, download or copy it again."
    )
