"""Hooks of MkDocs, see mkdocs.yml: pages of the repository, wherever they stand, make the site.

Pages of docs have their place below docs, README.md is the first page, and others have the path
that they have in the repository. Links are written for readers of the repository; here they are
turned to where the site has what they name, and files that pages link are brought along.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
BESIDE = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    "configs/*/README.md",
    "models/*.md",
    "projects/*/README.md",
    "projects/*/results/*.md",
)
# Where the path itself would be that of another page, docs/benchmarks.md for one.
RENAMED = {"README.md": "index.md", "benchmarks/README.md": "benchmarks/files.md"}
RELATIVE = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")


def place_of(path: str) -> str:
    """Of a file of the repository, where the site has it."""
    return RENAMED.get(path, path.removeprefix("docs/"))


def path_of(place: str) -> str:
    """The reverse."""
    named = {new: path for path, new in RENAMED.items()}
    return named.get(place) or (f"docs/{place}" if (ROOT / "docs" / place).exists() else place)


def linked(page: str, link: str) -> str:
    """The file of the repository that a page's link names; of a folder, its README.md."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    if (ROOT / path).is_dir():
        path = f"{path}/README.md"
    if path.startswith("../") or not (ROOT / path).is_file():
        raise PluginError(f"{page} links {link}, which is no file of the repository")
    return path


def on_files(files: Files, config: MkDocsConfig) -> Files:
    pages = [path_of(file.src_uri) for file in files.documentation_pages()]
    pages += [str(path.relative_to(ROOT)) for name in BESIDE for path in sorted(ROOT.glob(name))]
    links = {
        linked(page, link)
        for page in pages
        for link in RELATIVE.findall((ROOT / page).read_text(encoding="utf-8"))
    }
    for path in sorted({*pages, *links}):
        if files.get_file_from_path(place_of(path)) is None:
            files.append(File.generated(config, place_of(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    here = path_of(page.file.src_uri)
    folder = posixpath.dirname(page.file.src_uri) or "."

    def turned(match: re.Match[str]) -> str:
        return posixpath.relpath(place_of(linked(here, match[1])), folder)

    return RELATIVE.sub(turned, markdown)
