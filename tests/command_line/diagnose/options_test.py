import pytest

from tfplastic.command_line.diagnose import options
from tfplastic.configuration.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run_dir=here"], "the first word must be a command: {there}. Received: '--run_dir=here'."),
        (
            ["spectrm", "--run_dir=here"],
            "the first word must be a command: {there}. Received: 'spectrm'. Did you mean 'spectrum'?",
        ),
        ([], "the first word must be a command: {there}."),
    ],
)
def test_what_is_no_command(arguments, message):
    with pytest.raises(UsageError) as caught:
        options.parse(arguments)
    assert str(caught.value) == message.format(there=", ".join(options.COMMANDS))


def test_help_of_all_names_each_command_with_its_forms():
    assert options.parse(["--help"]) == options.parse(["-h"]) == (None, None)
    text = options.help_text()
    for name, command in options.COMMANDS.items():
        assert f"  {name}  " in text and command.summary in text
        assert text.count(f" bin/diagnose {name} ") == command.usage.count("bin/diagnose")
    assert text.count("Usage:") == 1
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("name", options.COMMANDS)
def test_each_command(name):
    command, given = options.parse([name, "--help"])
    assert command is options.COMMANDS[name] and given is not None and given.help
    call = options.parse([name, "--run_dir=here", "--debug", "--device=cpu"])
    assert call.debug and call.options is not None
    assert (call.options.run_dir, call.options.device, call.options.out) == ("here", "cpu", None)
    assert not options.parse([name, "--run_dir=here"]).debug
    text = options.COMMANDS[name].help_text()
    assert text.startswith(f"bin/diagnose {name} ")
    assert max(map(len, text.splitlines())) <= 110
    for field in vars(call.options):
        assert f"  --{field}" in text or f"  --[no]{field}" in text, field
