import re

import pytest

from tfplastic.command_line.diagnose import probe
from tfplastic.command_line.diagnose.probe import options, protocol
from tfplastic.configuration.errors import UsageError
from tfplastic.probing import Probe

MODEL = ["--model=a.keras", "--data=a.npz"]
parse = probe.COMMAND.parse


def test_defaults_are_left_to_the_probe_of_the_run():
    assert parse(["--run_dir=here"]) == options.Options(
        run_dir="here",
        checkpoint=None,
        model=None,
        data=None,
        optimizer=None,
        learning_rate=None,
        targets=None,
        value_range=None,
        num_targets=None,
        num_steps=None,
        batch_size=None,
        baselines=None,
        num_inputs=None,
        seed=None,
        out=None,
        device="auto",
        debug=False,
        trust_module=[],
        trust=False,
        help=False,
    )


def test_every_flag_of_a_model():
    numbers = [f"--{name}={number}" for number, name in enumerate(options.SETTINGS, start=1)]
    words = ["--optimizer=adam", "--learning_rate=0.1", "--targets=random_network", "--value_range=-1,2"]
    given = parse([*MODEL, *numbers, *words])
    assert [getattr(given, name) for name in options.SETTINGS] == [1, 2, 3, 4, 5, 6]
    assert (given.optimizer, given.learning_rate, given.targets) == ("adam", 0.1, "random_network")
    assert options.parse_value_range(given.value_range) == (-1.0, 2.0)
    assert parse(["--run_dir=here", "--checkpoint=40"]).checkpoint == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --run_dir or --model. Received: neither"),
        (["here"], "unexpected argument 'here'. Flags are given as --name=value"),
        ([*MODEL, "--run_dir=here"], "give either --run_dir or --model. Received: both"),
        (MODEL[:1], "--data must be given"),
        ([*MODEL, "--checkpoint=3"], "--checkpoint goes with --run_dir, which is not given"),
        (["--run_dir=a", "--optimizer=sgd"], "--optimizer goes with --model, which is not given"),
        (["--run_dir=a", "--learning_rate=1"], "--learning_rate goes with --model, which is not given"),
        ([*MODEL, "--num_steps=0"], "--num_steps must be an integer of at least 1. Received: '0'"),
        ([*MODEL, "--baselines=-1"], "--baselines must be an integer of at least 0. Received: '-1'"),
        ([*MODEL, "--learning_rate=0"], "--learning_rate must be a finite number above 0. Received: '0.0'"),
        (
            [*MODEL, "--targets=sin"],
            "--targets must be one of sine, random_network, random_labels. Received: 'sin'."
            " Did you mean 'sine'?",
        ),
        ([*MODEL, "--value_range=1"], "--value_range must be two ascending numbers MIN,MAX. Received: '1'"),
        (
            [*MODEL, "--value_range=2,1"],
            "--value_range must be two ascending numbers MIN,MAX. Received: '2,1'",
        ),
        (
            [*MODEL, "--value_range=0,1", "--targets=random_labels"],
            "--value_range goes with targets that are values. Received: random_labels",
        ),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(UsageError) as caught:
        parse(arguments)
    assert str(caught.value) == message


def test_help_says_the_defaults_that_a_probe_has():
    text = " ".join(probe.COMMAND.help_text().split())
    for name in ("num_targets", "num_steps", "batch_size", "baselines", "seed"):
        (default,) = re.findall(rf"--{name}=INTEGER .*?, else ([\d,]+)\.", text)[:1]
        assert int(default.replace(",", "")) == getattr(Probe(), name)


def test_each_word_for_targets_has_a_meaning():
    assert tuple(protocol.TARGETS) == options.TARGETS
