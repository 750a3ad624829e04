import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
LOCKS = ("requirements.lock", "requirements-gpu.lock")


def pins(lock: str, python: str) -> dict[str, str]:
    """The version of each package that `lock` installs under `python` on Linux."""
    environment = {"python_version": python, "python_full_version": f"{python}.5", "sys_platform": "linux"}
    found = {}
    for line in re.findall(r"^[a-z].*(?= \\$)", (ROOT / lock).read_text(), re.MULTILINE):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.name not in found, f"{requirement.name} is pinned twice for Python {python}"
            found[requirement.name] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_a_pin_or_its_hash_and_names_no_host(lock: str):
    text = (ROOT / lock).read_text()
    assert "://" not in text
    entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.fullmatch(
            r"[a-z0-9-]+==\S+( ; [^\\\n]+)? \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", entry
        ), entry


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_meets_the_ranges_of_setup_cfg(python: str):
    locked = pins("requirements.lock", python)
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / "setup.cfg")
    extras = configuration["options.extras_require"]
    texts = [
        configuration["options"]["install_requires"],
        *(extras[name] for name in ("rl", "minatar", "reports", "sweeps", "dev")),
    ]
    requirements = [Requirement(line) for text in texts for line in text.split("\n") if line]
    assert len(requirements) > 20
    for requirement in requirements:
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but {version} under Python {python}"


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_holds_tf_agents_with_what_it_imports_but_does_not_get_from_pip(python: str):
    locked = pins("requirements.lock", python)
    assert locked["tf-agents"] == "0.19.0"
    assert locked["gym"] == "0.23.0"
    assert "pygame" not in locked and "seaborn" not in locked
    assert {"setuptools", "wheel"} <= set(locked)


def test_python_3_11_gets_the_last_numpy_that_supports_it():
    assert pins("requirements.lock", "3.11")["numpy"].startswith("2.4.")


def test_gpu_lock_adds_the_cuda_wheels_alone():
    added = pins("requirements-gpu.lock", "3.12")
    assert "nvidia-cudnn-cu12" in added
    assert all(name.startswith("nvidia-") for name in added)
