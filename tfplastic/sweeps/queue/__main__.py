"""`python -m tfplastic.sweeps.queue`."""

import sys

from tfplastic.sweeps.queue import command

if __name__ == "__main__":
    sys.exit(command.main(sys.argv[1:]))
