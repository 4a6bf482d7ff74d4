"""The site builds without a warning, all of its links lead somewhere, and it fetches nothing."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import FunctionType
from urllib.parse import unquote, urlsplit

import pytest

from helpers.docs_folder import ROOT, needs_folder, run
from tools import draw_method

pytestmark = pytest.mark.slow
# What a browser fetches when it shows a page, as against what a reader may click on.
FETCHED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}


class Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.links, self.fetched, self.anchors = path, [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if given.get(FETCHED.get(tag)) and given.get("rel") != "canonical":
            self.fetched.append(given[FETCHED[tag]])

    def targets(self, links: list[str]) -> Iterator[tuple[str, Path, str]]:
        """Of the links within the site: link, file, anchor."""
        for link in links:
            parts = urlsplit(link)
            if not parts.scheme:
                path = (self.path.parent / unquote(parts.path)).resolve()
                path = self.path if not parts.path else path
                yield link, path / "index.html" if path.is_dir() else path, parts.fragment


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> dict[Path, Page]:
    """Its pages by file."""
    folder = tmp_path_factory.mktemp("site")
    said = run("-m", "mkdocs", "build", "--strict", "--site-dir", str(folder))
    assert "WARNING" not in said, said
    # The page for addresses that are not there names others from the root of the site's host.
    return {p: Page(p) for p in sorted(folder.rglob("*.html")) if p.name != "404.html"}


@needs_folder
def test_every_link_and_anchor_within_the_site_is_there(site):
    assert len(site) > 40
    missing = [
        (str(page.path), link)
        for page in site.values()
        for link, path, anchor in page.targets(page.links + page.fetched)
        if not path.is_file() or (anchor and path in site and anchor not in site[path].anchors)
    ]
    assert missing == []


@needs_folder
def test_links_to_elsewhere_are_whole_addresses(site):
    links = {urlsplit(link) for page in site.values() for link in page.links}
    elsewhere = [link for link in links if link.scheme]
    assert {link.scheme for link in elsewhere} <= {"https"}
    assert all(re.fullmatch(r"[\w-]+(\.[\w-]+)+", link.netloc) for link in elsewhere)


@needs_folder
def test_showing_a_page_fetches_nothing_from_elsewhere(site):
    assert [
        (str(page.path), fetched)
        for page in site.values()
        for fetched in page.fetched
        if urlsplit(fetched).netloc
    ] == []


@needs_folder
@pytest.mark.parametrize("room", ["dcls", "engine"])
def test_every_public_name_stands_in_the_reference(room, site):
    (page,) = [page for path, page in site.items() if path.parts[-3:-1] == ("api", room)]
    found = import_module(f"mmdcls.{room}")
    public = [
        name
        for name in found.__all__
        # Tables and names of types have no docstring; pages that use them tell what they are.
        if isinstance(getattr(found, name), type | FunctionType)
    ]
    anchors = {anchor.rpartition(".")[2] for anchor in page.anchors}
    assert sorted(set(public) - anchors) == []


def test_the_pictures_of_the_method_are_drawn_and_shown(tmp_path):
    draw_method.main([str(tmp_path)])
    shown = re.findall(r"\(images/(method_\w+\.png)\)", (ROOT / "docs/method.md").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(shown)
    assert all((ROOT / "docs/images" / name).is_file() for name in shown)
