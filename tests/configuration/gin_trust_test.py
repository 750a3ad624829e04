"""A gin configuration is data: it imports, includes and calls only names that its reader allows."""

import os
import pathlib

import gin
import pytest

from tfplastic.command_line import train
from tfplastic.configuration import gin_config, gin_files
from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_trust import GinTrust

RUN = GinTrust.of_run()
HOSTILE = {
    "import os": "os",
    "import os as o": "os",
    "import os.path": "os.path",
    "from os import path": "os.path",
    "from os import path as p": "os.path",
    "from __gin__ import dynamic_registration": "__gin__.dynamic_registration",
}


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    yield
    gin.clear_config()


def error_of(files, bindings=(), trust=RUN):
    with pytest.raises(UsageError) as caught:
        gin_files.scan(files, bindings, trust)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("statement", HOSTILE)
def test_imports(statement):
    pathlib.Path("a.gin").write_text(f"train.seed = 1\n{statement}\n")
    text = error_of(["a.gin"])
    assert text.startswith(
        f"a.gin:2: refused 'import {HOSTILE[statement]}': a run's configuration is read as data"
    )
    user = GinTrust.of_user(False)
    rule = "if you trust it, give --allow_imports"
    assert error_of(["a.gin"], trust=user) == f"a.gin:2: refused 'import {HOSTILE[statement]}': {rule}"
    assert rule in error_of([], [statement], user)
    assert len(gin_files.scan(["a.gin"], [], GinTrust.of_user(True))) == 1


def test_imports_in_included_files():
    pathlib.Path("runs/b.gin").write_text("import os")
    pathlib.Path("a.gin").write_text("include 'runs/b.gin'")
    assert error_of(["a.gin"], trust=GinTrust.of_user(False)).startswith("runs/b.gin:1: refused 'import os'")


def test_modules_that_the_user_trusts():
    pathlib.Path("a.gin").write_text("import mine.tasks\nfrom mine import layers\n")
    assert gin_files.scan(["a.gin"], [], GinTrust.of_run(["mine"])) == []
    assert error_of(["a.gin"], trust=GinTrust.of_run(["min"])).endswith("--trust_module=mine.tasks allows it")


def test_includes_of_a_run():
    pathlib.Path("b.gin").write_text("f.x = 1")
    pathlib.Path("a.gin").write_text("include 'b.gin'")
    assert error_of(["a.gin"]).startswith(
        "a.gin:1: refused 'include b.gin': a run's configuration is read as data. Put"
    )


def test_includes_of_the_users_stay_below_his_file_and_the_root(tmp_path):
    user = GinTrust.of_user(False)
    pathlib.Path("outside.gin").write_text("f.x = 1")
    pathlib.Path("runs/c.gin").write_text("f.x = 1")
    os.symlink(tmp_path / "outside.gin", "runs/link.gin")
    for name in ("outside.gin", "runs/../outside.gin", str(tmp_path / "outside.gin"), "runs/link.gin"):
        pathlib.Path("runs/a.gin").write_text(f"include '{name}'")
        text = error_of(["runs/a.gin"], trust=user)
        roots = f"{gin_files.root()} and {tmp_path / 'runs'}"
        assert (
            text
            == f"runs/a.gin:1: refused 'include {name}': includes stay below {roots}. Move the file there"
        )
    for name in ("runs/c.gin", "gin/networks/mlp_ln.gin", str(tmp_path / "runs/c.gin")):
        pathlib.Path("runs/a.gin").write_text(f"include '{name}'")
        assert gin_files.scan(["runs/a.gin"], [], user)


@pytest.mark.parametrize(
    "text",
    [
        "train.task = @DqnAgent()",
        "train.task = @scope/dqn_agent.DqnAgent()",
        "train:\n  seed = 1\n  task = @DqnAgent\n",
        "train.task = %evil\nevil = [1, {'a': @DqnAgent()}]",
        "train.task = @gin.singleton()",
    ],
)
def test_a_run_calls_no_functions_of_other_libraries(text):
    pathlib.Path("a.gin").write_text(text)
    with pytest.raises(UsageError, match="a run's configuration calls tfplastic's names only"):
        gin_config.parse(["a.gin"], [], trust=RUN)


def test_bin_train(capsys):
    pathlib.Path("a.gin").write_text("import os\n")
    assert train.main(["--gin_file=a.gin"]) == 2
    assert "a.gin:1: refused 'import os': if you trust it, give --allow_imports" in capsys.readouterr().err
