import gin
import pytest

from tfplastic.configuration import gin_config
from tfplastic.sweeps import Experiment


def test_an_arm_reads_the_base_then_its_own_and_statements_last():
    arms = {"a": ["a.gin", "x.y = 1", "b.gin"], "b": []}
    first, second = Experiment(["base.gin", "z.y = 2"], arms, [3, 1]).arms
    assert (first.name, first.files) == ("a", ("base.gin", "a.gin", "b.gin"))
    assert first.bindings == ("z.y = 2", "x.y = 1")
    assert (second.files, second.bindings) == (("base.gin",), ("z.y = 2",))


def test_a_list_of_dictionaries_is_a_grid_in_the_order_of_writing():
    axes = [{"mlp": ["mlp.gin"], "cnn": ["cnn.gin"]}, {"none": [], "ln": ["ln.gin"]}, {"x": ["x.gin"]}]
    arms = Experiment([], axes, [0]).arms
    assert [arm.name for arm in arms] == ["mlp-none-x", "mlp-ln-x", "cnn-none-x", "cnn-ln-x"]
    assert arms[3].files == ("cnn.gin", "ln.gin", "x.gin")


def test_gin_makes_one(tmp_path):
    path = tmp_path / "experiment.gin"
    path.write_text("sweep.base = ['b.gin']\nsweep.arms = {'a': []}\nsweep.seeds = [0, 1]\n")
    try:
        gin_config.parse([str(path)], [], packages=())
        experiment = gin.get_configurable(Experiment)()
    finally:
        gin.clear_config()
    assert experiment.seeds == (0, 1) and experiment.arms[0].files == ("b.gin",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x.gin", {"a": []}, [0]), "`base` must be a list of gin files or statements. Received: 'x.gin'"),
        (([], {"a": [3]}, [0]), "`arms['a']` must be a list of gin files or statements. Received: [3]"),
        (([], {}, [0]), "`arms` must be a dictionary with entries, or a list of some. Received: {}"),
        (([], [], [0]), "`arms` must be a dictionary, or a list of some. Received: []"),
        (([], "a", [0]), "`arms` must be a dictionary, or a list of some. Received: 'a'"),
        (([], {"a/b": []}, [0]), "`arms` must have names of letters, digits, .* Received: 'a/b'"),
        (([], {"..-": []}, [0]), "`arms` must have names of letters, digits, .* Received: '..-'"),
        (
            ([], [{"a": [], "a-b": []}, {"b-c": [], "c": []}], [0]),
            "`arms` must have names that differ. Received: 'a-b-c' twice",
        ),
        (([], {"a": []}, []), "`seeds` must be a list of integers of at least 0. Received: []"),
        (([], {"a": []}, [-1]), "`seeds` must be an integer of at least 0. Received: -1"),
        (([], {"a": []}, [1, 1]), "`seeds` must differ. Received: [1, 1]"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError) as error:
        Experiment(*arguments)
    begin, _, end = message.partition(".*")
    assert str(error.value).startswith(begin) and str(error.value).endswith(end)
