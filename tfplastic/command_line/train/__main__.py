"""`python -m tfplastic.command_line.train`."""

import sys

from tfplastic.command_line import train

if __name__ == "__main__":
    sys.exit(train.main(sys.argv[1:]))
