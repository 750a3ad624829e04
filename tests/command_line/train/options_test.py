import re

import pytest

from tfplastic import _renames
from tfplastic.command_line.train import options
from tfplastic.configuration.errors import UsageError


def test_defaults():
    given = options.parse(["--gin_file=a.gin"])
    assert given.gin_files == ("a.gin",)
    assert given.gin_bindings == ()
    assert given.run_directory is None
    assert given.seed is None
    assert given.resume is True
    assert given.profile_steps is None
    assert given.device == "auto"
    assert not (given.deterministic or given.dry_run or given.debug or given.help)


def test_every_flag():
    given = options.parse(
        [
            *("--gin_file=a.gin", "--gin_file", "b.gin"),
            *("--gin_bindings=x.y = 'a,b'", "--gin_bindings", "m = 3", "--allow_imports"),
            *(
                "--run_dir=here",
                "--seed=7",
                "--init_from=old@4",
                "--noresume",
                "--profile_steps=10,20",
                "--device=gpu:1",
            ),
            *("--deterministic", "--dry_run", "--debug"),
        ]
    )
    assert given == options.Options(
        gin_files=("a.gin", "b.gin"),
        gin_bindings=("x.y = 'a,b'", "m = 3"),
        allow_imports=True,
        run_directory="here",
        seed=7,
        init_from="old@4",
        resume=False,
        profile_steps=(10, 20),
        device="gpu:1",
        deterministic=True,
        dry_run=True,
        debug=True,
        help=False,
    )


def test_each_call_starts_from_the_defaults():
    options.parse(["--gin_file=a.gin", "--seed=7"])
    assert options.parse(["--gin_file=b.gin"]).gin_files == ("b.gin",)
    assert options.parse(["--gin_file=b.gin"]).seed is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gin_fil=a"], "Unknown command line flag 'gin_fil'. Did you mean: gin_file ?"),
        (["a.gin"], "unexpected argument 'a.gin'. Gin files are given as --gin_file=FILE"),
        (["--gin_file="], "--gin_file must name a file. Received: ''"),
        (["--gin_file"], "Missing value for flag --gin_file"),
        (["--seed=x"], "--seed must be an integer of at least 0. Received: 'x'"),
        (
            ["--num_parallel_seeds=4"],
            _renames.REMOVED_FLAGS["num_parallel_seeds"],
        ),
        (["--seed=-1"], "--seed must be an integer of at least 0. Received: '-1'"),
        (["--resume=maybe"], "--resume must be true or false. Received: 'maybe'"),
        (["--device=tpu"], "--device must be auto, cpu, gpu or gpu:I with an integer I. Received: 'tpu'"),
        *(
            (
                [f"--profile_steps={text}"],
                f"--profile_steps must be two integers A,B with 0 <= A < B. Received: '{text}'",
            )
            for text in ("5", "5,5", "6,5", "-1,5", "1,2,3", "a,b", "")
        ),
    ],
)
def test_wrong_flags(arguments, message):
    with pytest.raises(UsageError) as caught:
        options.parse(arguments)
    assert str(caught.value) == message


def test_help_explains_every_flag_with_its_default():
    text = options.help_text()
    explained = re.findall(r"^  --(?:\[no\])?(\w+)", text, re.MULTILINE)
    names = (
        "gin_file gin_bindings allow_imports run_dir seed init_from resume profile_steps"
        " device deterministic dry_run debug help"
    )
    assert explained == names.split()
    flags = text[text.index("Flags:") : text.index("Examples:")]
    assert (
        " ".join(flags.split()).count("Default: ") == len(explained) - 2
    )  # --gin_file is required, --help acts.
    assert text.count("    bin/train --gin_file=") == 2
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_is_a_flag(flag):
    assert options.parse([flag]).help
