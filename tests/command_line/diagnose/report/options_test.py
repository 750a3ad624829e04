import pytest

from tfplastic.command_line.diagnose import report
from tfplastic.command_line.diagnose.report import options
from tfplastic.configuration.errors import UsageError
from tfplastic.diagnostics.declaration.budgets import BUDGETS

MODEL = ["--model=a.keras", "--data=a.npz"]
parse = report.COMMAND.parse


def test_defaults():
    assert parse(["--run_dir=here"]) == options.Options(
        run_dir="here",
        checkpoint=None,
        all_checkpoints=False,
        model=None,
        data=None,
        loss=None,
        from_logits=False,
        num_examples=2048,
        budget="medium",
        out=None,
        device="auto",
        debug=False,
        trust_module=[],
        trust=False,
        help=False,
    )


def test_every_flag():
    words = ["--loss=mse", "--from_logits", "--num_examples=7", "--budget=full", "--out=there"]
    given = parse([*MODEL, *words])
    assert (given.loss, given.from_logits, given.num_examples, given.budget) == ("mse", True, 7, "full")
    assert given.out == "there"
    assert parse(["--run_dir=a", "--all_checkpoints"]).all_checkpoints
    assert parse(["--run_dir=a", "--checkpoint=4"]).checkpoint == 4
    assert parse(MODEL).loss is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --run_dir or --model. Received: neither"),
        (["x"], "unexpected argument 'x'. Flags are given as --name=value"),
        (MODEL[:1], "--data must be given"),
        ([*MODEL, "--all_checkpoints"], "--all_checkpoints goes with --run_dir, which is not given"),
        (["--run_dir=a", "--num_examples=5"], "--num_examples goes with --model, which is not given"),
        (
            ["--run_dir=a", "--checkpoint=4", "--all_checkpoints"],
            "give either --checkpoint or --all_checkpoints. Received: both",
        ),
        ([*MODEL, "--from_logits"], "--from_logits goes with --loss, which is not given"),
        ([*MODEL, "--loss="], "--loss must not be empty"),
        ([*MODEL, "--budget=large"], "--budget must be one of cheap, medium, full. Received: 'large'"),
        ([*MODEL, "--num_examples=0"], "--num_examples must be an integer of at least 1. Received: '0'"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(UsageError) as caught:
        parse(arguments)
    assert str(caught.value) == message


def test_budgets_are_those_of_the_diagnostics():
    assert tuple(BUDGETS) == options.BUDGETS
