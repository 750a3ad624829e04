import re

import pytest

from tfplastic.command_line.diagnose import spectrum
from tfplastic.command_line.diagnose.spectrum import options
from tfplastic.configuration.errors import UsageError

MODEL = ["--model=a.keras", "--data=a.npz", "--loss=mse"]
parse = spectrum.COMMAND.parse


def test_defaults():
    assert parse(["--run_dir=here"]) == options.Options(
        run_dir="here",
        checkpoint=None,
        model=None,
        data=None,
        loss=None,
        from_logits=False,
        batch_size=256,
        num_eigenvalues=10,
        tol=1e-3,
        num_steps=90,
        num_probes=10,
        seed=0,
        out=None,
        device="auto",
        debug=False,
        trust_module=[],
        trust=False,
        help=False,
    )


def test_every_flag_of_a_model():
    given = parse(
        [
            *MODEL,
            *("--from_logits", "--batch_size=7", "--num_eigenvalues=3", "--tol=1e-2", "--num_steps=4"),
            *("--num_probes=5", "--seed=6", "--out=there", "--device=cpu", "--debug"),
        ]
    )
    assert (given.model, given.data, given.loss, given.from_logits) == ("a.keras", "a.npz", "mse", True)
    assert (given.batch_size, given.num_eigenvalues, given.tol, given.num_steps) == (7, 3, 0.01, 4)
    assert (given.num_probes, given.seed, given.out, given.device, given.debug) == (
        5,
        6,
        "there",
        "cpu",
        True,
    )
    assert parse(["--run_dir=here", "--checkpoint=40"]).checkpoint == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["here"], "unexpected argument 'here'. Flags are given as --name=value"),
        ([], "give either --run_dir or --model. Received: neither"),
        ([*MODEL, "--run_dir=here"], "give either --run_dir or --model. Received: both"),
        ([*MODEL[:2], "--loss="], "--loss must not be empty"),
        ([*MODEL[:2], "--from_logits"], "--from_logits goes with --loss, which is not given"),
        ([MODEL[0], MODEL[2]], "--data must be given"),
        (["--run_dir="], "--run_dir must not be empty"),
        ([*MODEL, "--checkpoint=3"], "--checkpoint goes with --run_dir, which is not given"),
        (["--run_dir=a", "--loss=mse"], "--loss goes with --model, which is not given"),
        (["--run_dir=a", "--batch_size=9"], "--batch_size goes with --model, which is not given"),
        (["--run_dir=a", "--from_logits"], "--from_logits goes with --model, which is not given"),
        ([*MODEL, "--num_probes=0"], "--num_probes must be an integer of at least 1. Received: '0'"),
        ([*MODEL, "--seed=-1"], "--seed must be an integer of at least 0. Received: '-1'"),
        ([*MODEL, "--tol=0"], "--tol must be a finite number above 0. Received: '0.0'"),
        ([*MODEL, "--tol=nan"], "--tol must be a finite number above 0. Received: 'nan'"),
        ([*MODEL, "--tol=x"], "--tol must be a finite number above 0. Received: 'x'"),
        ([*MODEL, "--from_logits=maybe"], "--from_logits must be true or false. Received: 'maybe'"),
        (
            [*MODEL, "--device=tpu"],
            "--device must be auto, cpu, gpu or gpu:I with an integer I. Received: 'tpu'",
        ),
        ([*MODEL, "--sed=1"], "Unknown command line flag 'sed'. Did you mean: seed ?"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(UsageError) as caught:
        parse(arguments)
    assert str(caught.value) == message


def test_help_says_every_flag_and_its_default():
    text = spectrum.COMMAND.help_text()
    given = parse(["--help"])
    assert given.help and parse(["-h"]).help
    for name in vars(given):
        assert re.search(rf"^  --(\[no\])?{name}\b", text, re.MULTILINE), name
    for name in ("batch_size", "num_eigenvalues", "num_steps", "num_probes", "seed"):
        (explained,) = re.findall(rf"--{name}=INTEGER\n(.*?)\n  --", text, re.DOTALL)
        assert f"Default: {vars(given)[name]}." in " ".join(explained.split())
    assert max(map(len, text.splitlines())) <= 110
