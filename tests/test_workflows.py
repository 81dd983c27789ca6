"""The workflows follow GitHub's schema, and give nothing more rights than it needs."""

import os
import re
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github/workflows").glob("*.yml"))
WORKFLOWS = {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in FILES}
JOBS = [
    pytest.param(name, job, id=f"{file}-{name}")
    for file, workflow in WORKFLOWS.items()
    for name, job in workflow["jobs"].items()
]


def test_the_workflows_follow_the_published_schema():
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema"]
    command += ["--builtin-schema", "vendor.github-workflows", *map(str, FILES)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_action_has_a_version(file):
    for action in re.findall(r"uses: (\S+)", file.read_text(encoding="utf-8")):
        local = action.startswith("./") and (ROOT / action).is_file()
        assert local or re.fullmatch(r"[\w.-]+/[\w.-]+@v\d+(\.\d+)*", action), action


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_read_and_runs_once_for_a_commit(name):
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {"contents": "read"}
    assert "github.ref" in workflow["concurrency"]["group"]


def test_a_release_alone_signs_and_is_never_cancelled():
    rights = {
        (file, name): job["permissions"]
        for file, workflow in WORKFLOWS.items()
        for name, job in workflow["jobs"].items()
        if "permissions" in job
    }
    signing = {"id-token": "write", "attestations": "write"}
    assert rights == {("release.yml", "publish"): signing}
    assert WORKFLOWS["release.yml"]["concurrency"]["cancel-in-progress"] is False
    assert WORKFLOWS["release.yml"][True] == {"push": {"tags": ["v*"]}}  # YAML 1.1's `on` is True
    assert "secrets." not in "".join(file.read_text(encoding="utf-8") for file in FILES)


@pytest.mark.parametrize(("name", "job"), JOBS)
def test_a_job_ends_and_waits_for_jobs_that_exist(name, job):
    jobs = next(w["jobs"] for w in WORKFLOWS.values() if w["jobs"].get(name) is job)
    needs = job.get("needs", [])
    assert set([needs] if isinstance(needs, str) else needs) <= set(jobs)
    assert "uses" in job or job["timeout-minutes"] <= 90
    for step in job.get("steps", ()):
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_every_system_gets_a_wheel_and_a_free_threaded_one():
    jobs = WORKFLOWS["wheels.yml"]["jobs"]
    linux, desktop = jobs["linux"], jobs["desktop"]
    assert linux["strategy"]["matrix"] == {
        "target": ["x86_64", "aarch64"],
        "libc": ["manylinux2014", "musllinux_1_2"],
    }
    assert {row["system"] for row in desktop["strategy"]["matrix"]["include"]} == {
        "macos",
        "windows",
    }
    for job in (linux, desktop):
        arguments = [step["with"]["args"] for step in job["steps"] if "maturin" in step["uses"]]
        assert [("python3.14t" in words) for words in arguments] == [False, True]
        assert all("--release --locked" in words for words in arguments)


def test_every_supported_python_is_tested_on_every_system():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    oldest = re.search(r'requires-python = ">=3\.(\d+)"', pyproject)[1]
    matrix = WORKFLOWS["ci.yml"]["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == [f"3.{minor}" for minor in range(int(oldest), 16)]
    systems = {runner.split("-")[0] for runner in matrix["runner"]}
    assert systems == {"ubuntu", "macos", "windows"}


def installed_by_ci() -> dict[str, set[str]]:
    """The packages that the job of the Python tests installs: on free-threaded Python, and
    elsewhere."""
    steps = WORKFLOWS["ci.yml"]["jobs"]["test"]["steps"]
    (script,) = (s["run"] for s in steps if s.get("name") == "Install what the tests need")
    always, _, more = script.replace("\\\n", " ").partition("if ")
    first, rest = (
        set(re.search(r"pip install (.*)", part)[1].split()) | {"numpy"} for part in (always, more)
    )
    return {"free-threaded": first, "usual": first | rest}


def with_requirements(packages: set[str]) -> set[str]:
    """The packages and all that they need, of those that are installed here."""
    found: set[str] = set()
    left = [canonicalize_name(name) for name in packages]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        with suppress(PackageNotFoundError):
            needed = [Requirement(text) for text in requires(name) or ()]
            plain = {"extra": ""}
            left += [
                canonicalize_name(one.name)
                for one in needed
                if one.marker is None or one.marker.evaluate(plain)
            ]
    return found


COLLECT = """
import sys, pytest
class Missing:
    names = set(sys.argv[1].split(","))
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
plugins = ["-p", "pytest_timeout", "-p", "no:cacheprovider"]
sys.exit(pytest.main(["tests", "--collect-only", "-qq", *plugins]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("python", ["free-threaded", "usual"])
def test_the_tests_can_be_collected_with_what_ci_installs(python):
    kept = with_requirements(installed_by_ci()[python]) | {"fdsl", "pip", "setuptools"}
    missing = [
        module
        for module, packages in packages_distributions().items()
        if not kept & {canonicalize_name(name) for name in packages}
    ]
    assert "nbconvert" in missing and ("torch" in missing) == (python == "free-threaded")
    command = [sys.executable, "-c", COLLECT, ",".join(missing)]
    # Plugins of the missing packages would not load.
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr


def test_the_rust_tests_run_on_arm_too():
    jobs = WORKFLOWS["ci.yml"]["jobs"].values()
    arm = [job for job in jobs if job.get("runs-on") == "ubuntu-24.04-arm"]
    assert any(
        re.match(r"cargo \S* ?test\b", step.get("run", "")) for job in arm for step in job["steps"]
    )


def test_the_pinned_rust_is_the_makefiles():
    pinned = re.search(r"\+(\d+\.\d+\.\d+)", (ROOT / "Makefile").read_text(encoding="utf-8"))[1]
    text = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    for job in ("run", "arm"):
        steps = WORKFLOWS["ci.yml"]["jobs"][job]["steps"]
        assert any(f"rustup toolchain install {pinned} " in step.get("run", "") for step in steps)
    assert set(re.findall(r"cargo \+(\S+)", text)) == {pinned}
