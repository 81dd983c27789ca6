"""The site builds, and its build refuses what is wrong with a page, the reference or a link."""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

for package in ("zensical", "mkdocstrings", "griffe_sphinx"):
    pytest.importorskip(package)
import build
import checks
import docstrings


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What the site is built from, in a folder of its own."""
    root = tmp_path_factory.mktemp("clone")
    for name in ("docs", "examples", "benches", "python"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, root)
    return root


def built(root):
    """Runs the build in a clone; returns its exit code and what it said."""
    run = subprocess.run(
        [sys.executable, "docs/build.py"], cwd=root, capture_output=True, text=True, timeout=240
    )
    return run.returncode, run.stdout + run.stderr


@pytest.mark.slow
def test_the_site_of_today_builds(clone):
    code, said = built(clone)
    assert code == 0, said
    site = clone / "site"
    assert "fdsl" in (site / "index.html").read_text(encoding="utf-8")
    reference = (site / "docs/api/fdsl.html").read_text(encoding="utf-8")
    assert "points per image, 1…16,777,216" in reference  # a setting
    assert 'id="fdsl.Category.maps"' in reference  # an attribute, from its comment
    assert "&gt;&gt;&gt;" in reference and "<blockquote>" not in reference  # doctests are code
    assert "--fill-rate" in (site / "docs/api/cli.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def complaints(clone):
    """What a single build says about several mistakes."""
    code, said = built_with(clone, FOUND_IN_THE_SITE)
    assert code != 0
    return said


def built_with(clone, mistakes):
    """Runs the build in a clone with these mistakes, and takes them out again."""
    before = {}
    for file, added, _ in mistakes:
        path = clone / file
        before.setdefault(path, path.read_text(encoding="utf-8") if path.exists() else None)
        with path.open("a", encoding="utf-8") as page:
            page.write(f"\n{added}\n")
    try:
        return built(clone)
    finally:
        for path, text in before.items():
            path.unlink() if text is None else path.write_text(text, encoding="utf-8")


#: A file, what is added to it, and the complaint about it. Each of these ends the build.
ENDS_THE_BUILD = [
    ("docs/files.md", "[away](nowhere.md)", "nowhere.md, which is not a file"),
    ("docs/files.md", "[away](families.md#nowhere)", "anchor"),
    ("docs/api/torch.md", "::: fdsl.torch.Nothing", "Nothing"),
]
#: All of these are found in the site that was built.
FOUND_IN_THE_SITE = [
    ("docs/files.md", '<img src="https://example.org/a.png">', "from elsewhere"),
    ("docs/another.md", "# Another", "another.md is not in the navigation"),
    ("python/fdsl/torch/__init__.py", '__all__ += ["__getattr__", "ranks"]', "lacks ranks"),
    (
        "python/fdsl/sample.py",
        "    def weigh(self) -> int:\n        return 1\n",
        "fdsl.Sample.weigh has no docstring",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mistake", ENDS_THE_BUILD, ids=lambda mistake: mistake[2])
def test_the_build_refuses(clone, mistake):
    code, said = built_with(clone, [mistake])
    assert code != 0 and mistake[2] in said, said


@pytest.mark.slow
@pytest.mark.parametrize("complaint", [mistake[2] for mistake in FOUND_IN_THE_SITE])
def test_the_build_reports_every_mistake(complaints, complaint):
    assert complaint in complaints


def test_the_command_line_page_has_every_command():
    parsers = []

    class Seen(Exception):
        pass

    def parse_args(self, *_):
        parsers.append(self)
        raise Seen

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Seen):
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        build.fdsl.cli.main([])
    (group,) = (a for a in parsers[0]._actions if isinstance(a, argparse._SubParsersAction))
    page = (ROOT / "docs/api/cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^## fdsl (\w+)$", page, re.M) == list(group.choices)
    assert re.findall(r"^fdsl (\w+) --help$", page, re.M) == list(group.choices)


def test_a_command_is_shown_with_its_output():
    block = re.search(build.HELP, "```bash\nfdsl info --help\n```")
    assert "usage: fdsl info" in build.with_output(block)


def test_links_in_code_are_no_links():
    page = ROOT / "docs" / "page.md"
    text = "[a](a.md#b) `[b](b.md)` <img src='x' src=\"c.png\"> [d](https://e.org)\n```\n[f](f.md)\n```"
    assert [path.name for path in build.links(page, text)] == ["a.md", "c.png"]


def test_doctests_are_fenced_once():
    def fenced(text):
        return docstrings.DOCTEST.sub(docstrings._fenced, text)

    text = "Says.\n\n>>> 1\n1\n\nMore."
    assert fenced(text) == "Says.\n\n```pycon\n>>> 1\n1\n```\n\nMore."
    assert fenced(fenced(text)) == fenced(text)


def test_a_built_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="x"></p><a href="b.html#y">b</a><a href="#x">x</a><a href="c.html">c</a>'
    )
    (tmp_path / "b.html").write_text('<p id="z"></p><script src="https://cdn.org/a.js"></script>')
    assert list(checks.broken(tmp_path)) == [
        "a.html links to b.html#y, an anchor that is not there",
        "a.html links to c.html, which is not there",
        "b.html loads https://cdn.org/a.js from elsewhere",
    ]
