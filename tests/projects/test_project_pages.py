"""The page of every project that has records says what they say."""

import re
from functools import partial
from importlib import import_module
from pathlib import Path

import pytest

from mmdcls.study.page import page_of
from mmdcls.study.records import read_records

PROJECTS = Path(__file__).resolve().parents[2] / "projects"
TOLD = sorted(path.parent.name for path in PROJECTS.glob("*/report.py"))


def test_every_project_with_records_is_told():
    assert sorted(path.parent.name for path in PROJECTS.glob("*/results")) == TOLD


@pytest.mark.parametrize("name", TOLD)
def test_the_committed_page_is_that_of_the_committed_records(name):
    report = import_module(f"projects.{name}.report")
    records = list(read_records(report.RESULTS).values())
    assert records
    summary = partial(report.summary_of, records)
    path, text = page_of(summary, report.RESULTS, report.RESULTS)
    page = path.read_text()
    assert page == text, f"{path} is outdated; tell the project anew"
    for link in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (path.parent / link).exists(), link
