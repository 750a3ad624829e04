"""`python -m tfplastic.command_line.paper_report`."""

import sys

from tfplastic.command_line import paper_report

if __name__ == "__main__":
    sys.exit(paper_report.main(sys.argv[1:]))
