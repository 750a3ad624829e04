"""Parts that the tests of the run directory share: a configuration, and how to open and read a run."""

from tfplastic.training.run.directory import RunDirectory

CONFIG = "include 'gin/sizes/quick.gin'\n"
OPERATIVE = """
# Parameters for AtariTask:
# ==============================================================================
AtariTask.agent = @double_dqn
AtariTask.game = 'Breakout'
AtariTask.epsilons = {'evaluation': 0.05, 'training': 0.1}

# Parameters for train:
# ==============================================================================
train.checkpoint_period = 500
train.log_period = 100
train.seed = 0
train.task = @eval/AtariTask()
train.total_steps = 1000
"""

# For processes of a test: the package without those of its modules that take seconds to import TensorFlow.
LIGHT = (
    "import itertools, sys, time, types, numpy as np, tfplastic\n"
    "package = sys.modules['tfplastic.training'] = types.ModuleType('tfplastic.training')\n"
    "package.__path__ = [f'{tfplastic.__path__[0]}/training']\n"
    "from tfplastic.training.run.directory import RunDirectory\n"
    "from tfplastic.writers import MetricsFileWriter\n"
    "run = RunDirectory.open(sys.argv[1], '', 'train.seed = 0')\n"
    "print('open', flush=True)\n"
)


def begin(path, operative=OPERATIVE, **keywords):
    return RunDirectory.open(path, CONFIG, operative, **keywords)


def tree(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
