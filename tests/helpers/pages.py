"""The pages of the project, and what they show to run."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("configs/*/README.md")),
    *sorted(ROOT.glob("projects/*/README.md")),
    *sorted(ROOT.glob("models/*.md")),
]


class Block(NamedTuple):
    page: str
    language: str
    text: str

    @property
    def first(self) -> str:
        return self.text.partition("\n")[0]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(language: str) -> list[Block]:
    """The blocks of all pages in this language."""
    return [
        Block(name_of(page), language, text)
        for page in PAGES
        for text in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.M)
    ]


def commands() -> Iterator[tuple[str, str]]:
    """Page and command, of every line for a shell, without comments and with its continuations."""
    for block in blocks("bash"):
        for line in block.text.replace("\\\n", " ").splitlines():
            command = " ".join(re.sub(r"(^| )#.*", "", line).split())
            if command:
                yield block.page, command
