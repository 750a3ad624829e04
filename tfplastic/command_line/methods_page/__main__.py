"""`python -m tfplastic.command_line.methods_page`: the page on the standard output."""

import sys

from tfplastic.command_line.methods_page import committed_results, page

if __name__ == "__main__":
    sys.stdout.write(page(committed_results()))
