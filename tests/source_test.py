"""The commit of the code: of a clone, of a worktree, of a wheel, with git and without."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tfplastic import _source
from tfplastic._source import Source

MODULE = Path(_source.__file__)
ENVIRONMENT = {**{key: value for key, value in os.environ.items() if not key.startswith("GIT_")}, "HOME": "/"}


def git(root, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(root), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout.strip()


@pytest.fixture
def clone(tmp_path):
    """A clone that holds the module in tfplastic/, and the commit."""
    root = tmp_path / "clone"
    (root / "tfplastic").mkdir(parents=True)
    shutil.copy(MODULE, root / "tfplastic")
    (root / "README.md").write_text("words")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message=one")
    return root, git(root, "rev-parse", "HEAD")


def of_package(root, tmp_path, **environment):
    """The output of a process in another working directory."""
    code = f"import runpy; print(*runpy.run_path({str(root / 'tfplastic' / '_source.py')!r})['of_package']())"
    command = [sys.executable, "-c", code]
    variables = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(command, cwd=tmp_path, env=variables, check=True, capture_output=True, text=True)
    return done.stdout.split()


def test_a_clone_that_is_not_the_working_directory(clone, tmp_path):
    root, commit = clone
    assert of_package(root, tmp_path) == [commit, "False"]
    assert of_package(root, tmp_path, GIT_DIR=str(tmp_path)) == [commit, "False"]
    assert of_package(root, tmp_path, PATH=str(tmp_path)) == [commit, "None"]  # without git


def test_changes_of_the_tree_and_what_is_none(clone):
    root, commit = clone
    (root / "notes.txt").write_text("not code")
    assert _source.of_clone(root) == Source(commit, False)
    (root / "tfplastic" / "new.py").write_text("")
    assert _source.of_clone(root) == Source(commit, True)
    (root / "tfplastic" / "new.py").unlink()
    (root / "README.md").write_text("other words")
    assert _source.of_clone(root) == Source(commit, True)


def test_packed_branches_a_commit_without_branch_and_a_worktree(clone, tmp_path):
    root, commit = clone
    git(root, "pack-refs", "--all")
    assert _source.of_clone(root) == Source(commit, False)
    git(root, "worktree", "add", "--quiet", str(tmp_path / "tree"))
    assert _source.of_clone(tmp_path / "tree") == Source(commit, False)
    git(root, "checkout", "--quiet", "--detach")
    assert _source.of_clone(root) == Source(commit, False)


def test_before_the_first_commit_and_a_broken_clone(tmp_path):
    git(tmp_path, "init", "--quiet")
    assert _source.of_clone(tmp_path) == Source(None, None)
    (tmp_path / ".git" / "HEAD").write_text("\x00")
    assert _source.of_clone(tmp_path) == Source(None, None)


def test_an_installed_package_says_what_its_wheel_was_built_from(clone, tmp_path):
    root, commit = clone
    installed = tmp_path / "site-packages" / "tfplastic"
    shutil.copytree(root / "tfplastic", installed)
    assert of_package(installed.parent, root) == ["None", "None"]
    (installed / _source.BUILT_FROM).write_text(json.dumps(Source(commit, True)._asdict()))
    assert of_package(installed.parent, root) == [commit, "True"]
