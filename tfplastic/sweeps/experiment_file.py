"""An experiment as read from its gin file, without the names of anything else."""

import gin

from tfplastic.configuration import gin_config, gin_errors, unused
from tfplastic.configuration.errors import UsageError
from tfplastic.sweeps.experiment import Experiment


def read(file: str) -> Experiment:
    """Returns the experiment that `file`, the value of `--experiment`, binds; gin is left unconfigured.

    Raises:
        UsageError: the file is missing or malformed, or binds anything else.
    """
    try:
        sources = gin_config.parse([file], [], packages=())
        with gin_errors.constructing(sources):
            experiment = gin.get_configurable(Experiment)()
        unused.check_all_bindings_used(sources)
    except UsageError as error:
        raise UsageError(str(error).replace("--gin_file", "--experiment", 1)) from error
    finally:
        gin.clear_config()
    return experiment
