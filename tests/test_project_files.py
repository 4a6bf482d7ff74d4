"""What stands beside the code agrees with it: version, citations, what hosted CI runs."""

import re
from datetime import date
from importlib.metadata import metadata
from pathlib import Path

import pytest
import yaml

import mmdcls
from mmdcls.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
PAPERS = [CITATION["preferred-citation"], *CITATION["references"]]
ENTRIES = re.findall(r"@\w+\{.*?\n\}", (ROOT / "docs/citing.md").read_text(), re.DOTALL)
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
WHEEL_PAGE = (ROOT / "docs/wheel.md").read_text()


def field(entry: str, name: str) -> str:
    (value,) = re.findall(rf"^ *{name} *= \{{(.*)\}},?$", entry, re.MULTILINE)
    return value.replace(r"{\'e}", "é")


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper["url"])
def test_both_citations_of_a_paper_agree(paper):
    (entry,) = (e for e in ENTRIES if paper["url"].endswith("/" + field(e, "eprint")))
    assert field(entry, "title") == paper["title"]
    assert field(entry, "year") == str(paper["year"])
    names = [f"{a['family-names']}, {a['given-names']}" for a in paper["authors"]]
    assert field(entry, "author") == " and ".join(names)
    assert paper.get("collection-title", "Doctoral thesis") in entry


def test_every_citation_is_in_both():
    assert len(ENTRIES) == len(PAPERS) == 3


def test_the_newest_changes_are_of_this_version_and_dated():
    text = (ROOT / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## (\S+), (\S+)$", text, re.MULTILINE)
    assert len(sections) == text.count("\n## ")
    days = [date.fromisoformat(day) for _, day in sections]
    assert sections[0][0] == mmdcls.__version__ and days == sorted(days, reverse=True)


def test_the_version_stands_in_one_place():
    packaging = "".join((ROOT / name).read_text() for name in ("pyproject.toml", "setup.py"))
    assert f'"{mmdcls.__version__}"' not in packaging
    assert metadata("mmdcls")["Version"] == mmdcls.__version__


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_hosted_ci_runs_the_commands_that_everybody_runs(workflow):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert commands
    for command in commands:
        program, target, *_ = command.split()
        assert program == "make" and target in targets


def test_the_page_of_the_wheel_names_commands_and_extras_that_are_there():
    assert set(re.findall(r"^mmdcls (\w+)", WHEEL_PAGE, re.MULTILINE)) <= set(COMMANDS)
    explained = {
        name
        for row in re.findall(r"^\| (`[^|]*`) \|", WHEEL_PAGE, re.MULTILINE)
        for name in re.findall(r"`([\w-]+)`", row)
    }
    assert explained == set(metadata("mmdcls").get_all("Provides-Extra"))
