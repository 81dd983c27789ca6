"""Builds the site of the documentation in site/, and fails on whatever is wrong with it.

    make docs        # python docs/build.py

A page links to its neighbors by relative paths, which work on GitHub. They work on the site as
well, because the site has the repository's layout: target/docs gets README.md, the pages of docs/
and every file that a page links to, each where it is in the repository.
"""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import checks
import fdsl.cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "target" / "docs"
SITE = ROOT / "site"

CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s#]+)|<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"#]+)")
HELP = re.compile(r"^```bash\nfdsl (.*)--help\n```$", re.M)


def main() -> None:
    """Collects the pages, builds the site and checks both."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    collect(ROOT, PAGES)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    problems = re.findall(r"^griffe: .*", run.stdout, re.M)  # which --strict does not count
    if run.returncode != 0:
        problems.append(run.stdout)
    else:
        problems += checks.undocumented(ROOT)
        problems += checks.unlisted(ROOT / "mkdocs.yml", PAGES)
        problems += checks.broken(SITE)
    if problems:
        sys.exit("\n".join([*problems, f"docs: {len(problems)} problems"]))
    print(f"docs: {len(list(SITE.rglob('*.html')))} pages in {SITE}, every link leads somewhere")


def collect(root: Path, into: Path) -> None:
    """Copies the README, the pages of docs/ and what they link to, and what that links to."""
    waiting = [root / "README.md", root / "docs/site.css", *sorted((root / "docs").rglob("*.md"))]
    known = set(waiting)
    for file in waiting:
        copy = into / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix != ".md":
            shutil.copyfile(file, copy)
            continue
        text = file.read_text(encoding="utf-8")
        copy.write_text(HELP.sub(with_output, text), encoding="utf-8")
        for linked in links(file, text):
            if not linked.is_file() or not linked.is_relative_to(root):
                name = file.relative_to(root)
                sys.exit(f"{name} links to {linked}, which is not a file of the repository")
            if linked not in known:
                known.add(linked)
                waiting.append(linked)


def links(page: Path, text: str) -> Iterator[Path]:
    """Yields the files that a page links to."""
    for markdown, html in LINK.findall(CODE.sub("", text)):
        target = markdown or html
        if not re.match(r"[a-z]+:", target):
            yield (page.parent / target).resolve()


def with_output(block: re.Match[str]) -> str:
    """Returns a block with ``fdsl … --help``, and below it what the command prints."""
    said = io.StringIO()
    os.environ["COLUMNS"] = "88"
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        fdsl.cli.main([*block[1].split(), "--help"])
    return f"{block[0]}\n\n```text\n{said.getvalue().strip()}\n```"


if __name__ == "__main__":
    main()
