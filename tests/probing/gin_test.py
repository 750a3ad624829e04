"""Probes from gin files."""

import gin

from tfplastic import probing


def test_a_probe_is_configured_by_gin():
    with gin.unlock_config():
        gin.parse_config(
            """
            holder.probe = @probing.Probe()
            probing.Probe.num_steps = 5
            probing.Probe.targets = @probing.SineTargets()
            probing.SineTargets.scale = 3.0
            probing.Probe.head = @probing.Regression()
            probing.Regression.outputs = (1,)
            """
        )

    probe = gin.get_configurable("gin_test.holder")()
    gin.clear_config()
    assert probe.num_steps == 5 and probe.targets == probing.SineTargets(scale=3.0)
    assert probe.head.outputs == (1,) and isinstance(probe, probing.Probe)


@gin.configurable(module="gin_test")
def holder(probe):
    return probe
