"""The page of ``fdsl explore``: what its server answers, and what a browser shows."""

import base64
import dataclasses
import http.client
import io
import json
import re
import shutil
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlencode

import fdsl
import fdsl.cli
import numpy as np
import pytest
from every_family import FAMILIES
from families_in_python import Disks
from fdsl.controls import option_controls, style_controls
from fdsl.explore import server
from fdsl.explore.choice import Choices
from fdsl.explore.server import Explorer
from fdsl.families import registry
from pages import blocks
from processes import started


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rain(fdsl.Frame):
    """A style of a family in Python, with settings of every type.

    Args:
        length: how long a drop is,
            in pixels.
    """

    length: Annotated[int, fdsl.Slider(1, 40)] = 8
    slope: float | None = None
    kind: Literal["line", "dash"] = "line"
    seed: int = 0


class Drops(fdsl.Family):
    """Falling lines.

    Args:
        categories: how many.
        density: how many drops
            an image has.
    """

    style = Rain

    def __init__(self, categories=5, density=3, *, bright: bool = True):
        super().__init__(categories)
        self.density, self.bright = density, bright

    def draw(self, category, rng, frame):
        if frame.seed == 13:
            raise ZeroDivisionError("unlucky")
        image = np.zeros((frame.height, frame.width), np.uint8)
        for _ in range(self.density + category):
            row, column = rng.integers(0, (frame.height, frame.width))
            image[row : row + frame.length, column] = 255 if self.bright else 90
        return image


@pytest.fixture(scope="module")
def explorer():
    """Serves pages to the tests of this module."""
    with Explorer(port=0) as served:
        thread = threading.Thread(target=served.serve)
        thread.start()
        yield served
        served.stop()
        thread.join()


def asked(explorer, path, **headers):
    """The status and the content of an answer."""
    request = urllib.request.Request(explorer.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def run_line(answer, **names):
    """What the line of Python of a sheet renders."""
    line = answer["before"] + answer["python"] + answer["after"]
    return eval(line, {"fdsl": fdsl, **names})


# Choices


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"family": "fractaldb", "categories": "10", "category": "3", "style.patch": "fixed",
         "style.size": "64x96", "style.num_points": "5000", "style.variation": "none"},
        {"family": "fractaldb", "categories": "10", "style.compat": "released",
         "style.mask_seed": "7", "style.size": "64"},
        {"family": "perlin", "option.octaves": "3", "option.contrast": "2.5", "seed": "18",
         "style.color": "true", "style.size": "40", "style.crop": "32", "spread": "false"},
        {"family": "bezier", "categories": "1024", "category": "1023", "style.size": "48",
         "images": "5", "index": "123"},
        {"family": "rcdb", "option.seed": "4", "style.size": "32", "style.flips": "false"},
        {"family": "drops", "option.density": "6", "option.bright": "false", "style.length": "3",
         "style.size": "32", "style.kind": "dash"},
        # ``show`` has an argument ``seed`` of its own.
        {"family": "drops", "style.seed": "5", "style.slope": "0.25", "style.size": "32"},
    ],
)  # fmt: skip
def test_the_line_of_python_renders_the_same_file(given):
    answer = Choices().sheet(given)
    assert run_line(answer)._repr_png_() == base64.b64decode(answer["png"])


def test_the_line_says_only_what_differs_from_the_defaults():
    answer = Choices().sheet({"family": "perlin", "style.size": "256", "option.octaves": "1"})
    line = answer["before"] + answer["python"] + answer["after"]
    assert line == 'fdsl.show(fdsl.load("perlin-100"), 0, range(0, 1044, 87))'
    answer = Choices().sheet({"family": "perlin", "style.size": "64", "seed": "3", "images": "2"})
    line = answer["before"] + answer["python"] + answer["after"]
    assert line == 'fdsl.show(fdsl.load("perlin-100"), 0, range(0, 1002, 501), seed=3, size=64)'


@pytest.mark.parametrize(
    "given, said",
    [
        ({"style.margin": "300"}, "margin must leave at least 2 pixels"),
        ({"style.size": "8"}, "size"),
        (
            {"style.size": "huge"},
            "size must be a size such as 256 or 256x320 (height first), got 'huge'",
        ),
        ({"style.num_points": "1.5"}, "num_points must be an integer, got '1.5'"),
        ({"style.variation": "much"}, "variation must be a number or none, got 'much'"),
        ({"style.patch": "round"}, "patch must be random or fixed or solid, got 'round'"),
        ({"style.color": "yes"}, "color must be true or false, got 'yes'"),
        ({"style.colour": "true"}, "Rendering has no setting 'colour'; it has size, crop,"),
        ({"family": "perlin", "categories": "7"}, "square number, such as 100, got 7"),
        ({"family": "perlin", "option.octave": "2"}, "perlin has no setting 'octave'; it has oct"),
        ({"family": "nothing"}, "no family 'nothing'; the families are bezier, "),
        ({"category": "1000"}, "category 1000 is out of range: there are 1000, counted from 0"),
        ({"category": "-1"}, "category must be 0 or more, got -1"),
        ({"category": "first"}, "category must be an integer, got 'first'"),
        ({"seed": str(2**64)}, "seed must be less than 2**64"),
        ({"images": "0"}, "images must be at least 1, got 0"),
        ({"categories": "100001"}, "the page takes at most 100,000 categories, got 100,001"),
        (
            {"family": "rcdb", "style.compat": "released", "index": str(10**18)},
            "the page shows instances up to 10,000 here",
        ),
    ],
)
def test_a_choice_that_cannot_be_is_answered_with_a_sentence(given, said):
    with pytest.raises((ValueError, IndexError), match=re.escape(said)):
        Choices().sheet(given)


def test_large_images_are_fewer():
    answer = Choices().sheet({"style.size": "4096", "style.num_points": "1000"})
    assert answer["indices"] == [0]


def test_categories_that_were_given_come_first(tmp_path):
    fdsl.Bezier(9).save(tmp_path / "mine.npz")
    choices = Choices(tmp_path / "mine.npz")
    assert choices.described()["families"][0]["name"] == "given"
    answer = choices.sheet({"style.size": "32"})
    assert answer["length"] == 9
    assert run_line(answer)._repr_png_() == base64.b64decode(answer["png"])

    family = Disks(3, radius=2.0)
    answer = Choices(family).sheet({"style.size": "32", "category": "2"})
    assert run_line(answer, family=family)._repr_png_() == base64.b64decode(answer["png"])

    described = Choices("perlin-25").described()
    assert described["first"] == {"family": "perlin", "categories": "25"}
    with pytest.raises(FileNotFoundError, match="no categories at nowhere"):
        Choices("nowhere")


def test_a_family_in_a_script_is_there_with_its_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shades.py").write_text(
        "import fdsl, numpy as np\n"
        "class Shades(fdsl.Family):\n"
        "    def __init__(self, categories=4, gray=50):\n"
        "        super().__init__(categories)\n"
        "        self.gray = gray\n"
        "    def draw(self, category, rng, frame):\n"
        "        return np.full((frame.height, frame.width), self.gray + category, np.uint8)\n"
    )
    choices = Choices("shades.py:shades-4")
    answer = choices.sheet({"family": "shades", "option.gray": "90", "category": "3"})
    assert answer["before"].startswith('fdsl.show(fdsl.load("shades.py:shades-4", gray=90), 3, ')
    assert run_line(answer).pixels[0, 0] == 93


# Controls


def test_controls_are_those_of_the_style():
    controls = {control.name: control for control in style_controls(Rain)}
    assert tuple(controls) == Rain.names()
    length, slope, kind = controls["length"], controls["slope"], controls["kind"]
    assert (length.kind, length.slider, length.default) == ("whole", (1, 40), 8)
    assert length.help == "How long a drop is, in pixels."
    assert (slope.kind, slope.optional, slope.default) == ("real", True, None)
    assert (kind.kind, kind.choices) == ("choice", ("line", "dash"))
    assert controls["size"].kind == controls["crop"].kind == "size"
    assert controls["flips"].kind == "switch"


def test_options_are_the_arguments_of_a_family():
    density, bright = option_controls(Drops)
    assert (density.name, density.kind, density.default) == ("density", "whole", 3)
    assert density.help == "How many drops an image has."
    assert (bright.name, bright.kind, bright.default) == ("bright", "switch", True)
    names = [control.name for control in option_controls(fdsl.Perlin)]
    assert names == ["octaves", "persistence", "contrast"]
    assert option_controls(fdsl.fractaldb) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_every_built_in_setting_has_a_control_and_a_sentence(family):
    style = FAMILIES[family]().style
    controls = style_controls(style)
    assert [control.name for control in controls] == list(style.names())
    assert all(len(control.help) > 20 for control in controls)


# The server


def test_the_page_asks_nothing_from_outside(explorer):
    status, page = asked(explorer, "")
    assert status == 200 and page.startswith(b"<!doctype html>")
    assert b"http" not in page.replace(b"http-equiv", b"")


@pytest.mark.parametrize(
    "host, path",
    [
        ("example.org", ""),
        ("example.org", "families"),
        ("example.org", "sheet"),
        ("example.org:80", "families"),
        ("127.0.0.1", "families"),
        ("localhost:1", "families"),
    ],
)
def test_another_host_name_is_refused(explorer, host, path):
    status, content = asked(explorer, path, Host=host)
    assert (status, json.loads(content)) == (403, {"error": "this host name is not served"})


def test_a_request_without_a_host_is_refused(explorer):
    connection = http.client.HTTPConnection("127.0.0.1", int(explorer.url.split(":")[-1][:-1]))
    connection.putrequest("GET", "/families", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status == 403
    connection.close()


def test_the_page_of_another_site_is_refused(explorer):
    assert asked(explorer, "families", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert asked(explorer, "families", **{"Sec-Fetch-Site": "same-origin"})[0] == 200


@pytest.mark.parametrize("path", ["server.py", "../server.py", "/etc/passwd", "sheet/"])
def test_no_file_is_served(explorer, path):
    assert asked(explorer, path)[0] == 404


def test_a_file_cannot_be_chosen_on_the_page(explorer, tmp_path):
    fdsl.Bezier(9).save(tmp_path / "mine.npz")
    for family in (str(tmp_path / "mine.npz"), "given", "perlin-9", "os.py:perlin"):
        status, content = asked(explorer, f"sheet?{urlencode({'family': family})}")
        assert status == 400 and "no family" in json.loads(content)["error"]


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is this machine only on Linux")
def test_it_listens_on_one_loopback_address_alone(explorer):
    port = int(explorer.url.split(":")[-1][:-1])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_an_error_in_a_family_is_a_sentence_and_a_traceback(explorer, capfd):
    status, content = asked(explorer, "sheet?family=drops&style.seed=13")
    assert status == 400
    assert json.loads(content)["error"].startswith("ZeroDivisionError: unlucky")
    assert "ZeroDivisionError: unlucky" in capfd.readouterr().err
    assert asked(explorer, "sheet?family=drops")[0] == 200


def test_a_port_that_is_taken_is_refused_and_the_usual_one_is_not_needed(explorer):
    port = int(explorer.url.split(":")[-1][:-1])
    with pytest.raises(OSError, match=f"cannot listen on port {port}"):
        Explorer(port=port)
    with pytest.raises(ValueError, match="port must be at most 65535, got 65536"):
        Explorer(port=65_536)
    with Explorer() as one, Explorer() as other:
        assert one.url != other.url


# Popen.send_signal raises a ValueError for SIGINT there.
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send")
def test_ctrl_c_ends_the_command():
    command = [sys.executable, "-m", "fdsl", "explore", "perlin-4", "--no-browser", "--port", "0"]
    with started(command, stdout=-1, stderr=-1, text=True) as process:
        assert "Ctrl-C" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == ""


def test_the_command_refuses_what_it_cannot_open(capsys):
    assert fdsl.cli.main(["explore", "nowhere.npz", "--no-browser"]) == 2
    assert "fdsl explore: error: no categories at nowhere.npz" in capsys.readouterr().err


def test_the_commands_of_the_page_open_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(registry, "_known", dict(registry._known))  # there are two disks
    docs = Path(__file__).parents[1] / "docs"
    script = blocks(docs / "families.md", "python")[0]
    (tmp_path / "disks.py").write_text(script, encoding="utf-8")
    fdsl.Bezier(9).save(tmp_path / "categories.npz")
    monkeypatch.chdir(tmp_path)
    addresses = []
    monkeypatch.setattr("webbrowser.open", addresses.append)
    served = []

    def serve(explorer):
        served.append(explorer.choices.sheet({"style.size": "32"})["length"])

    monkeypatch.setattr(Explorer, "serve", serve)
    commands = blocks(docs / "explore.md", "sh")
    lines = [line.split("#")[0].split() for block in commands for line in block.splitlines()]
    for _, *arguments in lines:
        assert fdsl.cli.main(arguments) == 0
    assert served == [1000, 9, 10]
    assert addresses == re.findall(r"^(http\S+)  \(Ctrl-C", capsys.readouterr().out, re.M)
    assert fdsl.cli.main(["explore", "--no-browser"]) == 0
    assert len(addresses) == 3


def test_a_page_with_the_line_ends_of_windows_has_the_hashes_that_a_browser_computes(
    tmp_path, monkeypatch
):
    (tmp_path / "page.html").write_bytes(server.PAGE.replace(b"\n", b"\r\n"))
    monkeypatch.setattr(server.importlib.resources, "files", lambda _: tmp_path)
    assert server._page() == server.PAGE


# The page in a browser


@pytest.fixture(scope="module")
def chromium():
    api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("no chromium here")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """The page in a browser: what a reader does, and sees."""

    def __init__(self, browser, explorer, fragment=""):
        self.context = browser.new_context(viewport={"width": 1280, "height": 820})
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page = self.context.new_page()
        self.mistakes = []
        self.page.on("pageerror", lambda error: self.mistakes.append(error))
        self.requests = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(explorer.url + fragment)
        self.settled()

    def settled(self):
        self.page.wait_for_selector("body[data-state=ready]")

    def images(self):
        """The pixels of every image, (B, H, W, 4)."""
        Image = pytest.importorskip("PIL.Image")
        urls = self.page.eval_on_selector_all(
            "#grid canvas", "all => all.map(one => one.toDataURL())"
        )
        files = [io.BytesIO(base64.b64decode(url.split(",")[1])) for url in urls]
        return np.stack([np.array(Image.open(file)) for file in files])

    def copied(self):
        self.page.click("#copy")
        self.page.locator("#copy", has_text="Copied").wait_for()
        return self.page.evaluate("navigator.clipboard.readText()")

    def control(self, name):
        return self.page.locator(f"[data-name='{name}']")

    def slide(self, name, position):
        slider = self.control(name).locator("input[type=range]")
        slider.evaluate(
            "(slider, at) => { slider.value = at; slider.dispatchEvent(new Event('input')); }",
            position,
        )
        self.settled()

    def fragment(self):
        return self.page.evaluate("location.hash")


@pytest.fixture
def opened(chromium, explorer):
    pages = []

    def opened(fragment=""):
        pages.append(Page(chromium, explorer, fragment))
        return pages[-1]

    yield opened
    for page in pages:
        assert page.mistakes == []
        assert all(url.startswith((explorer.url, "data:", "blob:")) for url in page.requests)
        page.context.close()


def test_the_page_shows_images_and_copies_the_line_that_makes_them(opened):
    page = opened("#family=fractaldb&categories=10&category=3&style.size=64&style.color=true")
    line = page.copied()
    assert line.startswith('fdsl.show(fdsl.load("fractaldb-10"), 3, range(0, 1044, 87), ')
    sheet = eval(line, {"fdsl": fdsl}).pixels
    expected = [sheet[:64, 66 * number :][:, :64] for number in range(12)]
    np.testing.assert_array_equal(page.images()[..., :3], expected)


def test_a_slider_changes_the_images_and_marks_the_setting(opened):
    page = opened()
    before, margin = page.images(), page.control("style.margin")
    assert "changed" not in margin.get_attribute("class")
    page.slide("style.margin", 30)
    assert not np.array_equal(before, page.images())
    assert "changed" in margin.get_attribute("class")
    assert "margin=30" in page.copied() and "style.margin=30" in page.fragment()
    page.page.click("#reset")
    page.settled()
    np.testing.assert_array_equal(page.images(), before)
    assert "changed" not in margin.get_attribute("class")


def test_a_slider_of_a_wide_range_starts_where_the_default_is(opened):
    page = opened()
    points = page.control("style.num_points").locator("input[type=range]")
    low, high = 1000, 1_000_000
    position = 200 * np.log(200_000 / low) / np.log(high / low)
    assert abs(float(points.input_value()) - position) <= 1
    page.slide("style.num_points", 0)
    assert "num_points=1000)" in page.copied()


def test_a_value_that_cannot_be_shows_the_librarys_sentence(opened):
    page = opened("#family=bezier")
    before = page.images()
    page.control("style.margin").locator("input[type=text]").fill("300")
    page.settled()
    assert "margin must leave at least 2 pixels" in page.page.inner_text("#error")
    assert page.page.is_disabled("#copy")
    page.control("style.margin").locator("input[type=text]").fill("6")
    page.settled()
    assert page.page.is_hidden("#error")
    np.testing.assert_array_equal(page.images(), before)


def test_the_arrow_keys_step_the_category_and_s_the_seed(opened):
    page = opened("#family=perlin&categories=4")
    for key, expected in [
        ("ArrowRight", ", 1, range"), ("ArrowRight", ", 2, range"), ("ArrowLeft", ", 1, range"),
        ("s", ", seed=1)"), ("ArrowLeft", ", 0, range"), ("ArrowLeft", ", 0, range"),
    ]:  # fmt: skip
        page.page.keyboard.press(key)
        page.settled()
        assert expected in page.page.inner_text("#line")


def test_the_fragment_brings_back_what_was_chosen(opened):
    page = opened()
    page.page.select_option("#family", "perlin")
    page.control("option.octaves").locator("input[type=text]").fill("3")
    page.control("style.color").locator("input").check()
    page.page.select_option("#images", "6")
    page.settled()
    line, images = page.page.inner_text("#line"), page.images()
    again = opened(page.fragment())
    assert again.page.inner_text("#line") == line
    np.testing.assert_array_equal(again.images(), images)


def test_a_family_in_python_has_its_controls(opened):
    page = opened("#family=drops&style.size=32")
    page.control("style.kind").locator("select").select_option("dash")
    page.slide("style.length", 3)
    page.control("option.bright").locator("input").uncheck()
    page.settled()
    line = page.copied()
    assert "bright=False" in line and 'kind="dash"' in line and "length=3" in line
    sheet = eval(line, {"fdsl": fdsl}).pixels
    np.testing.assert_array_equal(page.images()[0, ..., 0], sheet[:32, :32])
    assert page.control("style.length").get_attribute("title") == "How long a drop is, in pixels."


def test_settings_that_another_family_lacks_are_dropped(opened):
    page = opened("#family=fractaldb&style.patch=fixed&style.size=48&category=7")
    page.page.select_option("#family", "perlin")
    page.settled()
    line = page.page.inner_text("#line")
    assert line == 'fdsl.show(fdsl.load("perlin-100"), 0, range(0, 1044, 87), size=48)'


def test_of_many_changes_the_last_one_counts(opened):
    page = opened()
    asked_before = len(page.requests)
    slider = page.control("style.variation").locator("input[type=range]")
    slider.evaluate(
        "slider => { for (let at = 0; at <= 100; at++) {"
        " slider.value = at; slider.dispatchEvent(new Event('input')); } }"
    )
    page.settled()
    assert len(page.requests) - asked_before <= 2
    assert "variation=0.5)" in page.page.inner_text("#line")


def test_an_image_is_enlarged_with_a_line_of_its_own(opened):
    page = opened("#family=perlin&style.size=32&category=5&seed=2")
    page.page.click("#grid figure:nth-child(3) button")
    dialog = page.page.locator("#large")
    assert dialog.locator("p").inner_text() == "category 5, index 174, seed 2"
    line = dialog.locator("code").inner_text()
    assert line == 'fdsl.show(fdsl.load("perlin-100"), 5, 174, seed=2, size=32)'
    image = fdsl.render(fdsl.Perlin(100), 5, 174, 2, fdsl.Frame(size=32))
    np.testing.assert_array_equal(page.images()[2, ..., 0], image)
    page.page.keyboard.press("Escape")
    assert not dialog.is_visible()
