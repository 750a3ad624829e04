"""Wrong values in gin: one line that names place, argument, rule and the value received; no run directory."""

import re

import gin
import pytest

from tests.made_up_data import data_at_hand  # noqa: F401
from tfplastic.command_line import train

LABELS, MDP = "gin/random_labels_digits.gin", "gin/mdp_true_label_digits.gin"
ATARI, MINATAR = "gin/atari_dqn.gin", "gin/minatar_dqn.gin"
MINATAR_PPO, MINATAR_SEQUENCE = "gin/minatar_ppo.gin", "gin/minatar_sequence.gin"
PIXELS = "gin/protocols/kumar_permuted_mnist.gin"
LIST, FUNCTIONS = (
    r"must be a list of functions of a snapshot",
    r"must hold functions of a snapshot\. Received: ",
)
MEMORY = r"must fit into the memory of this machine, [\d,.]+ GB; it takes about [\d,.]+ GB\. Received: "
OF_MINATAR = r"must be one of MinAtar's: .*\. Received: 'brekout'\. Did you mean 'breakout'\?$"

ROWS = [
    # Objects of the wrong kind.
    (LABELS, "train.diagnostics = [@mlp]", f"train: `diagnostics` {FUNCTIONS}<function mlp"),
    (LABELS, "train.diagnostics = @mlp", f"train: `diagnostics` {LIST}"),
    (LABELS, "train.diagnostics = [@dead_units, @ShrinkAndPerturb()]", f"train: `diagnostics` {FUNCTIONS}"),
    (LABELS, "train.diagnostics = [@WeightDecay]", f"train: `diagnostics` {FUNCTIONS}<class"),
    (LABELS, "train.diagnostics = [@noisy_self_targets]", f"train: `diagnostics` {FUNCTIONS}"),
    (LABELS, "train.diagnostics = 'ful'", r"train: `diagnostics` must be one of .*\. Did you mean 'full'\?$"),
    (
        LABELS,
        "train.diagnostics_loss = @dead_units",
        "train: `diagnostics_loss` must be a function of a model",
    ),
    (
        LABELS,
        "train.step_statistics = [@sharpness]",
        "train: `step_statistics` must hold functions of activa",
    ),
    (
        LABELS,
        "train.probe = @mlp",
        r"train: `probe` must be a probe, such as @Probe\(\)\. Received: <function",
    ),
    (
        LABELS,
        "train.probe = @Probe",
        r"train: `probe` must be a probe, such as @Probe\(\)\. Received: <class",
    ),
    (
        LABELS,
        "train.optimizer = 'adm'",
        r"train: `optimizer` must be an optimizer, .* Did you mean '@adam\(\)'\?",
    ),
    (LABELS, "train.optimizer = @WeightDecay()", "train: `optimizer` must be an optimizer, such as"),
    (LABELS, "train.task = 5", r"train: `task` must be a task, such as @AtariTask\(\)\. Received: 5$"),
    (LABELS, "train.task = @RandomLabelTask", "train: `task` must be a task, .* Received: <class"),
    (LABELS, "train.mitigations = @WeightDecay()", r"train: `mitigations` must be a list, such as "),
    (LABELS, "train.mitigations = [@WeightDecay]", r"train: `mitigations` must hold mitigations, such as "),
    (
        LABELS,
        "RandomLabelTask.network = @sharpness",
        "RandomLabelTask: `network` must be a function that takes",
    ),
    (LABELS, "RandomLabelTask.network = @adam", "RandomLabelTask: `network` must be a function that takes"),
    (
        PIXELS,
        "PermutedPixels.dataset = 'mnst'",
        r"PermutedPixels: `dataset` must be one of 'mnist', .* Received: 'mnst'\. Did you mean 'mnist'",
    ),
    (
        PIXELS,
        "PermutedPixels.images = 'always'",
        "PermutedPixels: `images` must be one of 'once', 'each_task'",
    ),
    (LABELS, "mlp.norm = 'layr'", r"mlp: `norm` must be one of .* Did you mean 'layer'\?$"),
    (
        LABELS,
        "mlp.activation = 'rellu'",
        "mlp: `activation` must name a Keras activation.* Did you mean 'relu'",
    ),
    (
        MDP,
        "ClassificationMdpTask.agent = @mlp",
        "ClassificationMdpTask: `agent` must be a function that returns",
    ),
    (MDP, "ClassificationMdpTask.mdp = @dqn", "ClassificationMdpTask: `mdp` must be a function that returns"),
    (
        ATARI,
        "AtariTask.network = @mlp",
        "AtariTask: `network` must be a function that takes `observation_shape`",
    ),
    (
        ATARI,
        "AtariTask.evaluation = @LinearEpsilon()",
        "AtariTask: `evaluation` must be a function that returns",
    ),
    # Values of what is called only when the run has begun.
    (
        LABELS,
        "dormant_units.tau = -1",
        "dormant_units: `tau` must be a finite number of at least 0. Received: -1$",
    ),
    (LABELS, "dormant_units.per_position = 'no'", "dormant_units: `per_position` must be one of True, False"),
    # Sizes.
    (LABELS, "mlp.width = 1_000_000", f"mlp: `width` {MEMORY}1000000$"),
    (LABELS, "mlp.hidden = [100_000_000]", rf"mlp: `hidden` {MEMORY}\[100000000\]$"),
    (
        LABELS,
        "RandomLabelTask.num_examples = 1_000_000_000",
        "RandomLabelTask: `num_examples` must be at most",
    ),
    (
        MDP,
        "ClassificationMdpTask.batch_size = 1_000_000",
        "ClassificationMdpTask: `batch_size` must be at most `re",
    ),
    (
        MDP,
        "ClassificationMdpTask.replay_capacity = 10_000_000_000",
        f".*`replay_capacity` {MEMORY}10000000000$",
    ),
    (
        MDP,
        "ClassificationMdpTask.diagnostics_batch_size = 1_000_000_000",
        f".*`diagnostics_batch_size` {MEMORY}",
    ),
    (
        ATARI,
        "AtariTask.batch_size = 1_000_000",
        "AtariTask: `batch_size` must be at most `replay_capacity`, ",
    ),
    (ATARI, "AtariTask.diagnostics_batch_size = 10_000_000", f"AtariTask: `diagnostics_batch_size` {MEMORY}"),
    (ATARI, "AtariTask.replay_capacity = 10_000_000_000_000", f"AtariTask: `replay_capacity` {MEMORY}"),
    (ATARI, "nature_dqn.width = 10_000", f"nature_dqn: `width` {MEMORY}10000$"),
    # The emulator's protocol.
    (
        ATARI,
        "AtariProtocol.frame_size = 3",
        r"`AtariProtocol.frame_size` must be at least 36 for .*\. Received: 3$",
    ),
    (
        ATARI,
        "AtariProtocol.frame_size = 35",
        r"`AtariProtocol.frame_size` must be at least 36 for .* Received: 35$",
    ),
    (ATARI, "AtariProtocol.frame_size = 1_000_000", f"AtariProtocol: `frame_size` {MEMORY}1000000$"),
    (ATARI, "AtariProtocol.stack_size = 0", "AtariProtocol: `stack_size` must be an integer of at least 1"),
    (
        ATARI,
        "AtariProtocol.action_repeat = 200_000",
        "AtariProtocol: `action_repeat` must be at most `max_fra",
    ),
    (ATARI, "AtariProtocol.max_noops = -1", "AtariProtocol: `max_noops` must be an integer of at least 0"),
    (
        ATARI,
        "AtariProtocol.max_frames_per_episode = 10_000_000_000",
        "AtariProtocol: `max_frames_per_episode` must",
    ),
    (
        ATARI,
        "AtariProtocol.sticky_actions = 1.5",
        r"AtariProtocol: `sticky_actions` must be a number in \[0, 1\]",
    ),
    (ATARI, "AtariProtocol.clip_reward = 'no'", "AtariProtocol: `clip_reward` must be one of True, False"),
    (
        ATARI,
        "AtariProtocol.full_action_set = 2",
        "AtariProtocol: `full_action_set` must be one of True, False",
    ),
    (
        ATARI,
        "Evaluation.num_envs = 0",
        "Evaluation: `num_envs` must be an integer of at least 1. Received: 0$",
    ),
    # MinAtar.
    (MINATAR, "MinAtarTask.game = 'brekout'", f"MinAtarTask: `game` {OF_MINATAR}"),
    (MINATAR_PPO, "PpoTask.game = 'brekout'", f"PpoTask: `game` {OF_MINATAR}"),
    (
        MINATAR,
        "MinAtarTask.replay_ratio = 0",
        r"MinAtarTask: `replay_ratio` must be a finite number above 0\. Received: 0$",
    ),
    (
        MINATAR_SEQUENCE,
        "GameSequence.games = ['breakout', 'pong']",
        r"`GameSequence.games` must each be one of MinAtar's: .*\. Received: 'pong'\.$",
    ),
]
SMALL_REPLAY = "--gin_bindings=AtariTask.replay_capacity = 20_000"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    gin.clear_config()


def error_of(capsys, tmp_path, *arguments):
    assert train.main([*arguments, "--device=cpu"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1, captured.err
    assert list(tmp_path.iterdir()) == []
    return captured.err.removeprefix("bin/train: error: ").rstrip("\n")


@pytest.mark.parametrize(("file", "binding", "message"), ROWS, ids=[row[1] for row in ROWS])
def test_a_wrong_value_names_its_place_its_argument_and_the_rule(file, binding, message, capsys, tmp_path):
    more = [SMALL_REPLAY] if file == ATARI else []
    text = error_of(capsys, tmp_path, f"--gin_file={file}", *more, f"--gin_bindings={binding}")
    place = f"--gin_bindings={binding}: "
    assert text.startswith(place), text
    assert re.match(message, text.removeprefix(place)), text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--gin_bindings="],
            "--gin_bindings must be a gin statement, such as 'train.seed = 1'. Received: ''",
        ),
        (["--gin_bindings=# x"], "--gin_bindings must be a gin statement, such as .* Received: '# x'"),
        (["--gin_file="], "--gin_file must name a file. Received: ''"),
        ([f"--gin_file={LABELS}"], f"--gin_file must name each file once. Received: '{LABELS}' twice"),
        (["--gin_file=nope.gin"], "--gin_file: no such file 'nope.gin'; looked in "),
        (["--gin_file=gin"], "--gin_file: no such file 'gin'"),
        (
            ["--gin_file=gin/protocols/kumar_permuted_mnst.gin"],
            "--gin_file: no such file 'gin/protocols/kumar_permuted_mnst.gin'; looked in .* Give its path",
        ),
        (["--run_dir="], "--run_dir must name a directory. Received: ''"),
        (["--sed=1"], "Unknown command line flag 'sed'. Did you mean: seed"),
        (
            ["--gin_bindings=train.sed = 1"],
            "--gin_bindings=train.sed = 1: unknown parameter .* Did you mean 'seed'",
        ),
        (
            ["--gin_bindings=trian.seed = 1"],
            "--gin_bindings=trian.seed = 1: unknown name .* Did you mean 'train'",
        ),
        (
            [f"--seed={2**70}"],
            r"--gin_bindings=train.seed = \d+: train: `seed` must be at most 9223372036854775807",
        ),
    ],
)
def test_wrong_flags_and_files(arguments, message, capsys, tmp_path):
    text = error_of(capsys, tmp_path, f"--gin_file={LABELS}", *arguments)
    assert re.match(message, text), text


def test_a_protocol_without_its_archive_says_where_to_get_it(capsys, tmp_path, monkeypatch):
    for variable in ("KERAS_HOME", "TFPLASTIC_DATA_DIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    text = error_of(capsys, tmp_path, "--gin_file=gin/protocols/upgd_label_permuted_emnist.gin")
    assert text.startswith(
        "There is no data for 'emnist': get gzip.zip from the EMNIST page of NIST, and set "
    )
