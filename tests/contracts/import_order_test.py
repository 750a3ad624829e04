import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(directory: Path) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """The packages of the tree with nothing in them, under the tree's own contract."""
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for source in (ROOT / "tfplastic").rglob("*.py"):
        copy = tmp_path / source.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    return tmp_path


def test_the_tree_keeps_the_import_order():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    "file, line, broken",
    [
        ("linalg/lanczos.py", "from tfplastic import diagnostics", "Import order"),
        ("layers/shared_bias.py", "import tfplastic.optimizers", "Import order"),
        ("training/loop.py", "import tfplastic.rl", "Import order"),
        ("seeds.py", "import tfplastic.layers", "Import order"),
        ("surprise.py", "", "Import order"),
        ("diagnostics/__init__.py", "import tf_agents", "Only tfplastic.rl"),
        ("training/loop.py", "from ale_py import roms", "Only tfplastic.rl"),
    ],
)
def test_a_wrong_import_or_an_unplaced_module_breaks_the_contract(
    skeleton: Path, file: str, line: str, broken: str
):
    (skeleton / "tfplastic" / file).write_text(f"{line}\n")
    done = lint_imports(skeleton)
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(row.startswith(broken) and row.endswith("BROKEN") for row in done.stdout.splitlines()), (
        done.stdout
    )


def test_rl_may_import_tf_agents(skeleton: Path):
    (skeleton / "tfplastic/rl/agents/q_agents.py").write_text("import tf_agents\nimport ale_py\n")
    assert lint_imports(skeleton).returncode == 0
