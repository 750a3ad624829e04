"""`python -m tfplastic.command_line.published`."""

import sys

from tfplastic.command_line import published

if __name__ == "__main__":
    sys.exit(published.main(sys.argv[1:]))
