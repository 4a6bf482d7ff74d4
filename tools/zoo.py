"""Write the tables of docs/zoo.md from the metafiles of configs and the cards of models.

    python tools/zoo.py

What a config costs is counted by `mmdcls flops`; tests/test_zoo_page.py holds the metafiles to it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import mmengine

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "zoo.md"
MODELS = ROOT / "models"
# In the page, what stands between is written by this script.
TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of the table -->)", re.DOTALL)
OURS = re.compile(r"(?<=<!-- models -->\n).*?(?=<!-- end of the models -->)", re.DOTALL)
# Rows of a card.
FACT = re.compile(r"^\| (\w[\w ]*) \| (.*) \|$", re.MULTILINE)
OF_OURS = ("config", "parameters", "figures", "file", "SHA256", "licence")
HEAD = (
    "config",
    "parameters",
    "FLOPs",
    "figures",
    "weights",
    "size, SHA256",
    "licence",
    "verified",
)
# Of what is known of no file.
UNKNOWN = "not known"


def main() -> None:
    PAGE.write_text(with_table(PAGE.read_text()))


def with_table(page: str) -> str:
    page = OURS.sub(lambda _: "\n" + models() + "\n", page)
    return TABLE.sub(lambda _: "\n" + table() + "\n", page)


def models() -> str:
    """What the cards say."""
    cards = {file.stem: file.with_suffix(".md") for file in sorted(MODELS.glob("*.safetensors"))}
    rows = []
    for name, card in cards.items():
        facts = dict(FACT.findall(card.read_text()))
        rows.append([f"[{name}](../models/{card.name})", *(facts[title] for title in OF_OURS)])
    return "\n".join(lines(rows, ("model", *OF_OURS))) + "\n"


def table() -> str:
    """One table for each folder of configs, its heading a link to the folder's page."""
    parts = []
    for file in mmengine.load(ROOT / "model-index.yml")["Import"]:
        content = mmengine.load(ROOT / file)
        (collection,) = content["Collections"]
        rows = [row(model, collection) for model in content["Models"]]
        parts += [f"### [{collection['Name']}](../{collection['README']})", "\n".join(lines(rows))]
    return "\n\n".join(parts) + "\n"


def lines(rows: list[list[str]], head: tuple[str, ...] = HEAD) -> Iterator[str]:
    for cells in (list(head), ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


def row(model: dict, collection: dict) -> list[str]:
    facts = model["Metadata"]
    return [
        f"[{model['Name']}](../{model['Config']})",
        f"{facts['Parameters (M)']} M",
        f"{facts['FLOPs (G)']} G",
        figures(model, collection),
        f"[{Path(model['Weights']).name}]({model['Weights']})" if "Weights" in model else "none",
        *(stored(facts) if "Weights" in model else ("", "")),
        "counted, trained a step" + (", layout read" if "Weights" in model else ""),
    ]


def figures(model: dict, collection: dict) -> str:
    """Whose they are stands beside them; none are known without results."""
    found = [
        f"{name} {value}"
        for result in model.get("Results", ())
        for name, value in result["Metrics"].items()
    ]
    source = collection["Metadata"].get("Figures From")
    return f"{', '.join(found)} ([authors']({source}))" if found else "none known"


def stored(facts: dict) -> tuple[str, str]:
    """Of a file of weights: its size and checksum, and its licence."""
    known = [facts[key] for key in ("Weights Size", "Weights SHA256") if key in facts]
    return ", ".join(known) or UNKNOWN, facts.get("Weights License", UNKNOWN)


if __name__ == "__main__":
    main()
