"""The zoo's page says what the metafiles say, and these what is counted."""

import mmengine
import pytest

from helpers.catalogue import CONFIGS, LEAVES, METHODS, load
from mmdcls.analysis.networks import count, size_of

ROOT = CONFIGS.parent
MODELS = [model for method in METHODS for model in mmengine.load(method / "metafile.yml")["Models"]]
# What is computed, not only followed on torch's meta device.
WITH_QUERIES = ("mask2former", "dino-4scale")


@pytest.fixture
def zoo(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import zoo

    return zoo


def test_the_page_has_the_table_that_the_metafiles_make(zoo):
    page = zoo.PAGE.read_text()
    assert zoo.with_table(page) == page, "python tools/zoo.py writes it"


def test_every_recipe_has_its_row_with_figures_and_whose_they_are(zoo):
    page = zoo.PAGE.read_text()
    for leaf in LEAVES:
        link = f"](../{leaf.relative_to(ROOT)}) |"
        rows = [line for line in page.splitlines() if link in line]
        assert len(rows) == (leaf.parent in METHODS), leaf
    for model in MODELS:
        (row,) = (line for line in page.splitlines() if f"| [{model['Name']}]" in line)
        values = [v for result in model.get("Results", ()) for v in result["Metrics"].values()]
        assert all(f" {value}" in row for value in values)
        assert ("authors'](https://" in row) == bool(values)
        assert model.get("Weights", "| none |") in row


def printed(number: float, like: object) -> str:
    return f"{number:.{len(str(like).partition('.')[2])}f}"


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            model, marks=[pytest.mark.slow] if any(w in model["Name"] for w in WITH_QUERIES) else ()
        )
        for model in MODELS
    ],
    ids=lambda model: model["Name"],
)
def test_a_metafile_has_the_costs_that_are_counted(model):
    cfg = load(ROOT / model["Config"])
    parts = count(cfg, size_of(cfg)).values()
    parameters, flops = model["Metadata"]["Parameters (M)"], model["Metadata"]["FLOPs (G)"]
    counted = sum(part.cost.multiply_adds + part.cost.cell_by_cell for part in parts)
    assert printed(counted / 1e9, flops) == str(flops)
    learning = sum(part.parameters for part in parts)
    assert printed(learning / 1e6, parameters) == str(parameters)
