"""Programs call themselves, and each other, by the name under which they were started."""

import sys

import pytest

from tfplastic._text.program_names import as_started
from tfplastic.command_line import train
from tfplastic.command_line.diagnose import command as diagnose
from tfplastic.command_line.report import command as report
from tfplastic.command_line.sweep import command as sweep

MAINS = {"train": train.main, "diagnose": diagnose.main, "sweep": sweep.main, "report": report.main}


@pytest.mark.parametrize("name", MAINS)
@pytest.mark.parametrize("arguments", [[], ["--help"], ["--no_such_flag=1"], ["report", "--help"]])
def test_on_the_path_and_in_a_clone(monkeypatch, capsys, name, arguments):
    said = {}
    for program in (f"/usr/bin/tfplastic-{name}", f"bin/{name}"):
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        code = MAINS[name](arguments)
        output = capsys.readouterr()
        said[program] = code, output.out + output.err
    (installed_code, installed), (clone_code, clone) = said.values()
    assert installed_code == clone_code and f"tfplastic-{name}" in installed and f"bin/{name}" in clone
    assert not any(f"bin/{each}" in installed for each in MAINS) and "tfplastic-" not in clone
    assert installed.replace("tfplastic-", "bin/").split() == clone.split()


def test_paths_stay_as_they_are(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tfplastic-train.exe"])
    assert as_started("bin/train, `bin/sweep`, (bin/report).") == (
        "tfplastic-train, `tfplastic-sweep`, (tfplastic-report)."
    )
    for path in ("/opt/bin/train", "../bin/train", "mybin/train", "bin/trainer"):
        assert as_started(path) == path
