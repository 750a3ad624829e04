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


def run_python(code: str, legacy_keras: bool = False) -> str:
    environment = {
        "TF_USE_LEGACY_KERAS": str(int(legacy_keras)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_is_lazy_and_quick():
    loaded, seconds = run_python(
        "import sys, time\n"
        "start = time.perf_counter()\n"
        "import tfplastic as tp\n"
        "seconds = time.perf_counter() - start\n"
        f"heavy = {('tensorflow', 'keras', 'numpy', *RL_ONLY)}\n"
        "print([name for name in heavy if name in sys.modules], seconds, sep=';')"
    ).split(";")
    assert loaded == "[]"
    assert float(seconds) < 0.3


def test_everything_but_rl_loads_without_tf_agents_and_rl_says_how_to_install_it():
    """With Keras 2; with Keras 3 as tests/keras3_test.py begins."""
    keras_package, rl_loaded, message = run_python(
        "import sys\n"
        f"for name in {RL_ONLY}: sys.modules[name] = None\n"
        "import tfplastic as tp\n"
        "for name in tp.__all__:\n"
        "    if name != 'rl': assert getattr(tp, name) is sys.modules[f'tfplastic.{name}']\n"
        "from tfplastic._keras import keras\n"
        "print(keras.Model.__module__.split('.')[0], 'tfplastic.rl' in sys.modules, sep=';', end=';')\n"
        f"for name in {RL_ONLY[1:]}: del sys.modules[name]\n"
        "try: tp.rl\n"
        "except ImportError as error: print(error)",
        legacy_keras=True,
    ).split(";")
    assert (keras_package, rl_loaded) == ("tf_keras", "False")
    assert message == HOW_TO_INSTALL.format("tf_agents")


@pytest.mark.slow
def test_rl_says_how_to_install_the_emulator():
    message = run_python(
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
