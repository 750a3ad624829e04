import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tfplastic as tp

ROOT = Path(__file__).parents[1]

# What only `tp.rl` may load: packages that a user of the rest need not have.
RL_ONLY = ("tf_agents", "ale_py", "gymnasium", "gym")
HOW_TO_INSTALL = (
    "tfplastic.rl needs {}: pip install 'tfplastic[rl]' && pip install --no-deps tf-agents==0.19.0"
)


# One process for all that needs a new one with TensorFlow in it: without TF-Agents at first, then with it.
IN_A_NEW_PROCESS = f"""
import gc, sys
gc.disable()  # as tests/conftest.py
for name in {RL_ONLY}: sys.modules[name] = None
import tfplastic as tp
for name in tp.__all__:
    if name != 'rl': assert getattr(tp, name) is sys.modules[f'tfplastic.{{name}}']
from tfplastic._keras import keras
print(keras.Model.__module__.split('.')[0], 'tfplastic.rl' in sys.modules, sep=';')
for name in {RL_ONLY[1:]}: del sys.modules[name]
try: tp.rl
except ImportError as error: print(error)
del sys.modules['tf_agents']
print(tp.rl.QNetwork.__module__)
from tfplastic.diagnostics.feature_ranks import feature_srank as old
from tfplastic.diagnostics import feature_srank
print(old is feature_srank)
"""


def run_python(code: str, *options: str, legacy_keras: bool = False) -> tuple[str, str]:
    environment = {
        "TF_USE_LEGACY_KERAS": str(int(legacy_keras)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def test_import_is_lazy_and_quick():
    shown, _ = run_python(
        "import sys, time\n"
        "start = time.perf_counter()\n"
        "import tfplastic as tp\n"
        "seconds = time.perf_counter() - start\n"
        f"heavy = {('tensorflow', 'keras', 'numpy', *RL_ONLY)}\n"
        "print([name for name in heavy if name in sys.modules], seconds, sep=';')"
    )
    loaded, seconds = shown.split(";")
    assert loaded == "[]"
    assert float(seconds) < 0.3


@pytest.fixture(scope="module")
def new_process() -> tuple[list[str], str]:
    """The lines that the new process printed, and its warnings."""
    shown, warned = run_python(IN_A_NEW_PROCESS, "-W", "always::DeprecationWarning", legacy_keras=True)
    return shown.splitlines(), warned


def test_everything_but_rl_loads_without_tf_agents_and_rl_says_how_to_install_it(new_process):
    """With Keras 2; with Keras 3 as tests/keras3_test.py begins."""
    (loaded, message, afterwards, _), _ = new_process
    assert loaded == "tf_keras;False"
    assert message == HOW_TO_INSTALL.format("tf_agents")
    assert afterwards.startswith("tfplastic.rl.")  # once it is there


def test_notices_of_tf_agents_are_not_shown(new_process):
    _, warned = new_process
    assert "distutils" not in warned and "unmaintained" not in warned


def test_names_of_old_modules_are_found_and_the_warning_names_the_line(new_process):
    (*_, is_the_same), warned = new_process
    assert is_the_same == "True"
    line = 1 + IN_A_NEW_PROCESS.splitlines().index(
        "from tfplastic.diagnostics.feature_ranks import feature_srank as old"
    )
    assert f"<string>:{line}: DeprecationWarning: tfplastic.diagnostics.feature_ranks is called" in warned


@pytest.mark.slow
def test_rl_says_how_to_install_the_emulator():
    message, _ = run_python(
        "import sys\n"
        "sys.modules['ale_py'] = None\n"
        "import tfplastic as tp\n"
        "try: tp.rl\n"
        "except ImportError as error: print(error)",
        legacy_keras=True,
    )
    assert message == HOW_TO_INSTALL.format("ale_py")


def test_public_names_are_the_modules_of_the_tree():
    modules = {module.name for module in pkgutil.iter_modules(tp.__path__) if not module.name.startswith("_")}
    for_programs = {"command_line", "configuration"}
    assert set(tp.__all__) == modules - for_programs, "those are for bin/, all else is public"
    assert set(tp.__all__) <= set(dir(tp))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(
        AttributeError, match=r"^module 'tfplastic' has no attribute 'layer'\. Did you mean 'layers'"
    ):
        tp.layer  # noqa: B018


@pytest.mark.parametrize(
    ("module", "name", "near"),
    [
        ("seeds", "drive", "derive"),
        ("writers", "TensorboardWriter", "TensorBoardWriter"),
        ("run_format", "parse_state", "parse_status"),
    ],
)
def test_an_unknown_name_of_a_module_without_a_list_has_near_ones(module, name, near):
    found = importlib.import_module(f"tfplastic.{module}")
    with pytest.raises(AttributeError, match=rf"{module}' has no attribute .* Did you mean '{near}'"):
        getattr(found, name)
    with pytest.raises(AttributeError, match=r"has no attribute '_unknown'$"):
        found._unknown  # noqa: B018
