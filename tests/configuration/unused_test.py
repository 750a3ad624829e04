"""Another agent, task or optimizer is chosen by adding its file; a value left unread says why it is."""

import gin
import pytest

from tests.made_up_data import data_at_hand, no_configuration_left  # noqa: F401
from tfplastic.configuration import gin_config, unused
from tfplastic.configuration.build import build_loop
from tfplastic.configuration.composing import description
from tfplastic.configuration.errors import UsageError

MDP, LABELS = "gin/mdp_true_label_digits.gin", "gin/random_labels_digits.gin"
TWO_HOT = "gin/agents/mdp_two_hot_dqn.gin"


def build(*files, bindings=()):
    sources = gin_config.parse(files, bindings)
    loop = build_loop(sources)
    unused.check_all_bindings_used(sources)
    return loop, sources


def error_of(*files, bindings=()):
    with pytest.raises(UsageError) as caught:
        build(*files, bindings=bindings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("files", [(MDP, TWO_HOT), (TWO_HOT, MDP)], ids=["after the task", "before the task"])
def test_another_agent_is_chosen_by_its_file(files):
    loop, _ = build(*files)
    assert loop.task.model.output_shape[-1] == 51
    assert "double_dqn" not in gin_config.config_text()
    build(bindings=[gin_config.config_text()])  # as a run's own file has it


OTHER_TASK = [
    "train.task = @RandomLabelTask()",
    "RandomLabelTask.dataset = 'digits'",
    "RandomLabelTask.network = @mlp",
    "RandomLabelTask.steps_per_task = 500",
    "RandomLabelTask.num_examples = 100",
]


def test_another_task_is_chosen_on_the_command_line():
    loop, _ = build(MDP, bindings=OTHER_TASK)
    assert type(loop.task).__name__ == "RandomLabelTask"
    assert "ClassificationMdpTask" not in gin_config.config_text()
    assert gin.query_parameter("train.total_steps") == 10_000


@pytest.mark.parametrize("optimizer", ["sgd", "tuned_adam"])
def test_another_optimizer_is_chosen_by_its_file(optimizer):
    for file in (MDP, LABELS):
        loop, _ = build(file, f"gin/optimizers/{optimizer}.gin")
        assert type(loop.config.optimizer).__name__.lower() in optimizer


def test_a_choice_of_the_users_that_another_replaces_is_an_error_that_names_both():
    text = error_of(MDP, TWO_HOT, bindings=["ClassificationMdpTask.agent = @dqn"])
    assert text.startswith(f"two_hot_dqn.discount ({TWO_HOT}:5), ")
    assert text.endswith(
        "have no effect: nothing in this run reads them; --gin_bindings=ClassificationMdpTask.agent = @dqn "
        f"has replaced ClassificationMdpTask.agent = @two_hot_dqn ({TWO_HOT}:4). Remove them"
    )


def test_a_constant_of_what_was_replaced_names_what_replaced_it():
    text = error_of(MDP, TWO_HOT, bindings=["double_dqn.discount = 0.5"])
    assert text == (
        "double_dqn.discount (--gin_bindings=double_dqn.discount = 0.5) has no effect: nothing in this run "
        f"reads it; {TWO_HOT}:4 has replaced ClassificationMdpTask.agent = @double_dqn "
        "(gin/agents/mdp_double_dqn.gin:3). Remove it"
    )


def test_a_macro_of_a_task_that_was_replaced():
    periods = [f"train.{event}_period = 500" for event in ("log", "diagnostics", "evaluation", "checkpoint")]
    task = [
        "train.task = @ClassificationMdpTask()",
        "ClassificationMdpTask.mdp = @true_label_mdp",
        "ClassificationMdpTask.dataset = 'digits'",
        "ClassificationMdpTask.network = @mlp",
    ]
    build(LABELS, "gin/agents/mdp_double_dqn.gin", bindings=[*task, *periods])
    assert "steps_per_task" not in gin_config.config_text()


def test_optimizers_exclude_each_other():
    for files in (("sgd", "tuned_adam"), ("tuned_adam", "sgd")):
        text = error_of(MDP, *(f"gin/optimizers/{name}.gin" for name in files))
        assert "exclude each other: they set train.optimizer to @" in text
        assert "gin/optimizers/sgd.gin:4" in text and "gin/optimizers/tuned_adam.gin:" in text


def test_networks_that_set_one_argument_differently_exclude_each_other(tmp_path):
    other = tmp_path / "networks" / "mlp_rms.gin"
    other.parent.mkdir()
    other.write_text("mlp.norm = 'rms'\n")
    text = error_of(MDP, "gin/networks/mlp_ln.gin", str(other))
    assert text == (
        f"gin/networks/mlp_ln.gin:4 and {other}:1 exclude each other: they set mlp.norm to 'layer' and 'rms'."
        " Give one of the two files"
    )


def test_the_description_names_each_file_and_what_it_sets():
    _, sources = build(MDP, "gin/mitigations/weight_decay.gin", TWO_HOT, bindings=["train.seed = 3"])
    first, *lines = description.describe(sources).splitlines()
    assert first.startswith("Configuration (")
    names = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert (
        names["gin/mitigations/weight_decay.gin"] == "sets mitigations.weight_decay, WeightDecay.coefficient"
    )
    assert names[TWO_HOT].startswith("sets ClassificationMdpTask.agent, two_hot_dqn.discount")
    assert names[MDP].endswith("; replaced: ClassificationMdpTask.agent")
    assert "--gin_bindings=train.seed" in names


def test_two_agents_exclude_each_other():
    text = error_of(MDP, TWO_HOT, "gin/agents/mdp_c51.gin")
    assert text.startswith(f"{TWO_HOT}:4 and gin/agents/mdp_c51.gin:3 exclude each other: they set ")
    assert "ClassificationMdpTask.agent to @two_hot_dqn and @c51" in text


def test_a_setting_of_a_network_that_another_file_replaces():
    text = error_of(MDP, "gin/networks/mlp_ln.gin", "gin/networks/mdp_cnn.gin")
    assert text == (
        "mlp.norm (gin/networks/mlp_ln.gin:4) has no effect: nothing in this run reads it; "
        "gin/networks/mdp_cnn.gin:4 has replaced ClassificationMdpTask.network = @mlp "
        "(gin/mdp_true_label_digits.gin:12). Remove it"
    )
