"""Values that earlier runs had for arguments of gin that they do not know.

A run directory's operative configuration holds every argument of its time. A run that lacks an argument
counts as one that has today's default, so that an argument added later disowns no earlier run. Where that
default changes results, the earlier value is named here:

    "mlp.activation": "'relu'",    # before version 0.3 there was no other

An argument that has been removed is named in the same way, with the value that this version acts by; a run
with another value of it is another run.
"""

OLD_VALUES: dict[str, str] = {}
"""{'configurable.argument': the value of runs that lack it, as gin text}"""
