"""What must hold for the site: each public name has its docs, and each link leads somewhere."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import griffe
import yaml

#: The modules whose ``__all__`` is the API, each with its page.
API = {"fdsl": "fdsl.md", "fdsl.torch": "torch.md", "fdsl.export": "export.md"}


def undocumented(root: Path) -> Iterator[str]:
    """Yields the public names that the reference lacks, or that have no docstring."""
    package = griffe.load("fdsl", search_paths=[root / "python"], resolve_aliases=True)
    for module, page in API.items():
        text = (root / "docs" / "api" / page).read_text(encoding="utf-8")
        # A function that shares its name with its module has both on the page: fdsl.render.render.
        shown = {path.split(".")[-1]: path for path in re.findall(r"^::: (\S+)$", text, re.M)}
        exports = package.modules_collection[module].exports or ()
        names = {name for name in exports if not name.startswith("__")}
        yield from (f"docs/api/{page} lacks {name}" for name in sorted(names - set(shown)))
        for name, path in shown.items():
            if name not in names:
                yield f"docs/api/{page} has {path}, which is not in {module}.__all__"
            else:
                yield from without_docstring(package.modules_collection[path], path)


def without_docstring(given: griffe.Object | griffe.Alias, name: str) -> Iterator[str]:
    """Yields a name, and those of its public methods and properties, that have no docstring."""
    if not given.has_docstring:
        yield f"{name} has no docstring"
    target = given.final_target if isinstance(given, griffe.Alias) else given
    if not isinstance(target, griffe.Class):
        return
    for member in target.members.values():
        inherited = any(member.name in base.members for base in target.mro())
        is_code = member.is_function or "property" in member.labels
        if is_code and not member.name.startswith("_") and not inherited:
            yield from without_docstring(member, f"{name}.{member.name}")


def unlisted(config: Path, pages: Path) -> Iterator[str]:
    """Yields the collected pages that the navigation does not name."""
    # Only the navigation: the rest of the file may have tags that only the generator knows.
    text = re.search(r"^nav:\n(?:[ #].*\n|\n)*", config.read_text(encoding="utf-8"), re.M)
    named = set(_leaves(yaml.safe_load(text[0])["nav"])) if text else set()
    for page in sorted(pages.rglob("*.md")):
        if page.relative_to(pages).as_posix() not in named:
            yield f"{page.relative_to(pages)} is not in the navigation of mkdocs.yml"


def _leaves(tree: object) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    for branch in (
        tree if isinstance(tree, list) else tree.values() if isinstance(tree, dict) else ()
    ):
        yield from _leaves(branch)


class Page(HTMLParser):
    """The ids of a built page, where it links to and what a browser loads for it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Reads one tag."""
        given = {name: value or "" for name, value in attributes}
        self.ids |= {given["id"]} if "id" in given else set()
        if "href" in given:
            (self.loads if tag == "link" else self.links).append(given["href"])
        if "src" in given:
            self.loads.append(given["src"])


def broken(site: Path) -> Iterator[str]:
    """Yields the links of a built site that lead nowhere, and what it loads from elsewhere."""
    pages = {file: Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html")}
    for file, page in sorted(pages.items()):
        if file.name == "404.html":  # its links are absolute, for any folder
            continue
        name = file.relative_to(site).as_posix()
        for url in page.loads:
            if urlsplit(url).netloc:
                yield f"{name} loads {url} from elsewhere"
        for url in dict.fromkeys(page.links + page.loads):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            if not target.is_file():
                yield f"{name} links to {url}, which is not there"
            elif target in pages and anchor and anchor not in pages[target].ids:
                yield f"{name} links to {url}, an anchor that is not there"
