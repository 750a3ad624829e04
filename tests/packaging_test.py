import configparser
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tfplastic
from tfplastic import _console

ROOT = Path(__file__).parents[1]
IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@example.org"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel that `pip install .` makes, built from a copy: a build leaves files behind in its tree."""
    source = tmp_path_factory.mktemp("source")
    for folder in ("tfplastic", "gin", "bin"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    for words in (["init", "--quiet"], ["add", "."], [*IDENTITY, "commit", "--quiet", "--message=all"]):
        subprocess.run(["git", "-C", source, *words], check=True)
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(target), str(source)], check=True, timeout=120)
    (path,) = target.glob("tfplastic-*.whl")
    return zipfile.ZipFile(path)


def test_citation_and_changelog_name_the_version_of_the_package():
    (cited,) = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    released = re.findall(r"^## (\d\S+) \(", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert cited == released[0] == tfplastic.__version__


def test_wheel_carries_every_module_and_nothing_beside_them(wheel: zipfile.ZipFile):
    modules = {name for name in wheel.namelist() if name.endswith(".py")}
    assert modules == {str(path.relative_to(ROOT)) for path in (ROOT / "tfplastic").rglob("*.py")}


def test_wheel_carries_the_gin_files_as_data_of_tfplastic(wheel: zipfile.ZipFile):
    carried = {name.removeprefix("tfplastic/") for name in wheel.namelist() if name.endswith(".gin")}
    assert carried == {str(path.relative_to(ROOT)) for path in (ROOT / "gin").rglob("*.gin")}
    assert carried


def test_wheel_carries_the_tables_and_styles_beside_the_modules(wheel: zipfile.ZipFile):
    data = {name for name in wheel.namelist() if name.endswith((".csv", ".css"))}
    package = ROOT / "tfplastic"
    assert data == {str(path.relative_to(ROOT)) for path in package.rglob("*.c[s]*") if path.suffix != ".pyc"}
    assert {"tfplastic/rl/atari/scores.csv", "tfplastic/reports/page/page.css"} <= data


def test_wheel_says_what_it_was_built_from(wheel: zipfile.ZipFile):
    built_from = json.loads(wheel.read("tfplastic/built_from.json"))
    assert re.fullmatch("[0-9a-f]{40}", built_from["commit"]) and built_from["tree_changed"] is False


def test_wheel_installs_the_programs_of_bin_under_names_of_their_own(wheel: zipfile.ZipFile):
    assert not [name for name in wheel.namelist() if "/scripts/" in name]
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    entries = configparser.ConfigParser()
    entries.read_string(wheel.read(name).decode())
    programs = dict(entries["console_scripts"])
    assert set(programs) == {f"tfplastic-{path.name}" for path in (ROOT / "bin").iterdir()}
    for program, target in programs.items():
        assert target == f"tfplastic._console:{program.removeprefix('tfplastic-')}"
        assert callable(getattr(_console, target.partition(":")[2]))


def test_wheel_carries_its_license_and_the_marker_of_its_types(wheel: zipfile.ZipFile):
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert "License-Expression: Apache-2.0" in wheel.read(metadata).decode()
    (text,) = (name for name in wheel.namelist() if name.endswith("licenses/LICENSE"))
    assert "Apache License" in wheel.read(text).decode()
    assert "tfplastic/py.typed" in wheel.namelist()


def test_wheel_asks_pip_for_nothing_that_pip_cannot_resolve(wheel: zipfile.ZipFile):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    lines = wheel.read(name).decode().splitlines()
    extras = {line.removeprefix("Provides-Extra: ") for line in lines if line.startswith("Provides-Extra: ")}
    assert extras == {"rl", "minatar", "reports", "sweeps", "profile", "all", "gpu", "dev"}
    assert 'Requires-Dist: tfplastic[reports,rl,sweeps]; extra == "all"' in lines
    requirements = [line for line in lines if line.startswith("Requires-Dist: ")]
    assert any("tensorflow<" in line for line in requirements)
    assert not any("tf-agents" in line for line in requirements)
