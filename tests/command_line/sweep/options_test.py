import dataclasses
import re

import pytest

from tfplastic import _renames
from tfplastic.command_line.sweep import options
from tfplastic.configuration.errors import UsageError


def test_defaults():
    given = options.parse(["--experiment=gin/paper/small/fig01.gin"])
    assert given.run_root == "runs/fig01"
    assert (given.address, given.cpus_per_run, given.gpus_per_run, given.device) == ("local", 1, 0, "cpu")
    assert (given.limit, given.retries, given.reuse) == (None, 2, ())


def test_all_flags():
    given = options.parse(
        ["--experiment=x.gin", "--run_root=s3://a/b", "--address=head:6379", "--cpus_per_run=0.5"]
        + [
            "--gpus_per_run=0.25",
            "--retries=0",
            "--limit=7",
            "--reuse=a",
            "--reuse=b",
        ]
        + ["--gin_bindings=a.b = 1", "--sync_period=5", "--dry_run", "--debug"]
    )
    assert (given.run_root, given.address, given.device) == ("s3://a/b", "head:6379", "gpu")
    assert (given.cpus_per_run, given.gpus_per_run) == (0.5, 0.25)
    assert (given.retries, given.limit, given.reuse) == (0, 7, ("a", "b"))
    assert (given.gin_bindings, given.sync_period, given.dry_run, given.debug) == (
        ("a.b = 1",),
        5,
        True,
        True,
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--cpus_per_run=0", "--cpus_per_run must be a number above 0. Received: '0.0'"),
        ("--cpus_per_run=nan", "--cpus_per_run must be a number above 0. Received: 'nan'"),
        ("--cpus_per_run=x", "--cpus_per_run must be a number above 0. Received: 'x'"),
        (
            "--gpus_per_run=1.5",
            "--gpus_per_run must be a number in [0, 1] or a whole number. Received: '1.5'",
        ),
        *(
            (
                f"--gpus_per_run={value}",
                f"--gpus_per_run must be a number in [0, 1] or a whole number. Received: '{value}'",
            )
            for value in ("inf", "nan")
        ),
        *(
            (
                f"--sync_period={value}",
                f"--sync_period must be a number of seconds, at least 0.1. Received: '{value}'",
            )
            for value in ("inf", "nan")
        ),
        ("--gpus_per_run=-1", "--gpus_per_run must be a number in [0, 1] or a whole number. Received: '-1'"),
        (
            "--num_parallel_seeds=auto",
            _renames.REMOVED_FLAGS["num_parallel_seeds"],
        ),
        ("--retries=-1", "--retries must be an integer of at least 0. Received: '-1'"),
        ("--run_root=", "--run_root must not be empty"),
        ("fig01.gin", "unexpected argument 'fig01.gin'. The experiment is given as --experiment=FILE"),
        ("--adress=x", "Unknown command line flag 'adress'. Did you mean: address ?"),
    ],
)
def test_errors(argument, message):
    with pytest.raises(UsageError) as error:
        options.parse(["--experiment=x.gin", argument])
    assert str(error.value) == message


def test_help_names_each_flag():
    text = options.help_text()
    for field in dataclasses.fields(options.Options):
        assert re.search(rf"^  --(\[no\])?{field.name}\b", text, re.MULTILINE), field.name
    assert max(map(len, text.splitlines())) <= 112
