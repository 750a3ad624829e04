"""`python -m tfplastic.sweeps.queue`, an earlier name of `python -m tfplastic.command_line.queue`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("tfplastic.command_line.queue", run_name="__main__", alter_sys=True)
