"""Takes the screenshots of docs/explore.md again: python docs/screenshots.py"""

import io
import shutil
import tempfile
import threading
from pathlib import Path

import nbconvert
import nbformat
from fdsl.explore.server import Explorer
from nbconvert.preprocessors import ExecutePreprocessor
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

DOCS = Path(__file__).parent
CELLS = [
    "import fdsl\n\nifs = fdsl.fractaldb(1000)\nifs",
    "ifs[30]",
    "fdsl.show(ifs, 30, range(0, 1000, 167), size=128, num_points=40_000, color=True)",
]
CHOICE = "#family=fractaldb&category=30&images=24&style.patch=fixed&style.size=140&style.color=true"


def save(screenshot: bytes, file: Path) -> None:
    """Writes a screenshot with a palette, which is half as large."""
    image = Image.open(io.BytesIO(screenshot)).convert("RGB")
    image.quantize(192, dither=Image.Dither.NONE).save(file, optimize=True)


def explore(browser: Browser) -> bytes:
    """Returns a screenshot of the page of ``fdsl explore``."""
    page = browser.new_page(viewport={"width": 1280, "height": 820}, color_scheme="dark")
    with Explorer(port=0) as explorer:
        thread = threading.Thread(target=explorer.serve)
        thread.start()
        page.goto(explorer.url + CHOICE)
        page.wait_for_selector("body[data-state=ready]")
        screenshot = page.screenshot()
        explorer.stop()
        thread.join()
    return screenshot


def notebook(browser: Browser) -> bytes:
    """Returns a screenshot of an executed notebook."""
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    executed = nbformat.v4.new_notebook(cells=cells)
    ExecutePreprocessor(timeout=120).preprocess(executed, {})
    content, _ = nbconvert.HTMLExporter().from_notebook_node(executed)
    page = browser.new_page(viewport={"width": 960, "height": 800})
    page.route("http**", lambda route: route.abort())  # its scripts are not needed
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "notebook.html"
        file.write_text(content, encoding="utf-8")
        page.goto(file.as_uri(), wait_until="domcontentloaded")
        return page.locator("main").screenshot()


if __name__ == "__main__":
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        save(explore(browser), DOCS / "explore.png")
        save(notebook(browser), DOCS / "notebook.png")
        browser.close()
