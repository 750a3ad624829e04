"""`python -m tfplastic.command_line.queue`."""

import sys

from tfplastic.command_line import queue

if __name__ == "__main__":
    sys.exit(queue.main(sys.argv[1:]))
