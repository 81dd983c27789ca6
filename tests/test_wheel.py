"""What users install: a wheel that needs only NumPy, built from what the sdist holds."""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: The environment of a process that has to find its own fdsl.
OWN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    pytest.importorskip("maturin")
    if shutil.which("cargo") is None:
        pytest.skip("no cargo here")
    folder = tmp_path_factory.mktemp("sdist")
    run([sys.executable, "-m", "maturin", "sdist", "--out", folder], cwd=ROOT)
    (file,) = folder.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        archive.extractall(folder)
    for source in folder.rglob("*.rs"):  # they are dated 2006: cargo would take what it has built
        source.touch()
    return next(path for path in folder.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """What `make wheel` makes, of the sdist instead of the checkout."""
    if sys.platform != "linux" or shutil.which("make") is None:
        pytest.skip("needs make, and Linux, where make wheel links with Zig")
    pytest.importorskip("ziglang")
    out = tmp_path_factory.mktemp("wheel")
    plan = run(["make", "--dry-run", "wheel", f"VENV={out}"], cwd=ROOT).splitlines()
    (line,) = (line for line in plan if "-m maturin build" in line)
    words = shlex.split(line)
    arguments = words[words.index("build") :]
    arguments[arguments.index("--out") + 1] = str(out)
    target = os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target")  # the other crates stay there
    # maturin looks for the package ziglang in the Python that comes first.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "CARGO_TARGET_DIR": target, "PATH": path}
    run([sys.executable, "-m", "maturin", *arguments], cwd=sdist, env=environment)
    (file,) = out.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The commands of an environment that has the wheel, and NumPy."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", wheel])
    return folder / "bin"


def package_files():
    """Returns the files of the package that git knows, and those not yet added."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "python"]
    return {line.removeprefix("python/") for line in run(listed, cwd=ROOT).splitlines()}


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_the_sdist_holds_the_package_and_what_builds_it(sdist):
    held = {path.relative_to(sdist).as_posix() for path in sdist.rglob("*") if path.is_file()}
    assert {f"python/{name}" for name in package_files()} <= held
    rust = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rust").rglob("*.rs")}
    assert rust <= held
    rest = held - rust - {f"python/{name}" for name in package_files()}
    wanted = {"Cargo.toml", "Cargo.lock", "pyproject.toml", "PKG-INFO", "LICENSE", "README.md"}
    wanted |= {f"licenses/{name}" for name in ("THIRD-PARTY.txt", "about.toml", "about.hbs")}
    assert rest == wanted


# Only cargo knows which crates are linked; tests of an installed wheel run where there is no Rust.
@pytest.mark.skipif(shutil.which("cargo") is None, reason="no cargo here")
def test_the_license_of_every_crate_in_a_wheel_is_there():
    tree = ["cargo", "tree", "--locked", "--edges", "normal", "--features", "python"]
    lines = run([*tree, "--prefix", "none"], cwd=ROOT).splitlines()
    crates = {line.split()[0] for line in lines if line} - {"fdsl"}
    notices = (ROOT / "licenses/THIRD-PARTY.txt").read_text(encoding="utf-8")
    headings = re.findall(r"^-{80}\n(.+)$", notices, re.M)
    named = {name for heading in headings for name in heading.split()}
    assert len(crates) > 30 and crates - named == set(), "run make licenses"
    assert not re.search("<(year|owner|copyright holders)>", notices)


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
@pytest.mark.timeout(1800)
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    assert wheel.name.split("-")[2:4] == ["cp310", "abi3"]
    assert "manylinux2014_x86_64" in wheel.name or "manylinux2014_aarch64" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        metadata = message_from_string(archive.read(f"{info}/METADATA").decode())
    package = {name for name in names if not name.startswith(f"{info}/")}
    assert package == package_files() | {"fdsl/_core.abi3.so"}
    assert {"fdsl/py.typed", "fdsl/_core.pyi", "fdsl/families/fractaldb.npz"} <= package
    assert f"{info}/licenses/LICENSE" in names
    assert f"{info}/licenses/licenses/THIRD-PARTY.txt" in names
    assert metadata["License-Expression"] == "MIT"
    plain = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert [line.split(">")[0] for line in plain] == ["numpy"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_works_in_an_empty_folder_with_numpy_alone(installed, tmp_path):
    listed = run([installed / "python", "-m", "pip", "list", "--format", "freeze"]).split()
    assert {line.split("==")[0] for line in listed} - {"pip", "setuptools"} == {"fdsl", "numpy"}
    command = [installed / "fdsl", "preview", "fractaldb-10", "--num-points", "2000"]
    sheets = []
    for _ in range(2):
        run([*command, "--out", "sheet.png"], cwd=tmp_path, env=OWN)
        sheets.append(hashlib.sha256((tmp_path / "sheet.png").read_bytes()).hexdigest())
    assert sheets[0] == sheets[1]
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_wheel_unwinds_a_daemon_thread_that_python_ends(installed, tmp_path):
    # Up to Python 3.13 it ends them with pthread_exit: Zig's unwinder, linked in, crashes there.
    code = """
import threading, time
import fdsl
kept = dict(fill_rate=0.9, max_tries=10**9)
threading.Thread(target=fdsl.IFS.search, args=(10,), kwargs=kept, daemon=True).start()
time.sleep(0.3)
"""
    run([installed / "python", "-c", code], cwd=tmp_path, env=OWN)


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_free_threaded_python_stays_without_a_gil():
    code = "import sys, fdsl; print(sys._is_gil_enabled())"
    assert run([sys.executable, "-W", "error", "-c", code]).strip() == "False"
