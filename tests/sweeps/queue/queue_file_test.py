import re

import pytest

from tfplastic.configuration.errors import UsageError
from tfplastic.sweeps.queue import queue_file
from tfplastic.sweeps.queue.queue_file import Entry

TEXT = """\
# The most valuable first.
commit 0123abc
fig06  gin/fig06.gin   # a comment
fig17  gin/fig17.gin probe/curves diagnostics/*/all

commit 89abcdef
fig06  gin/fig06_more.gin
"""


def written(tmp_path, text):
    path = tmp_path / "queue.txt"
    path.write_text(text)
    return path


def test_entries_have_the_commit_above_them(tmp_path):
    assert queue_file.read(written(tmp_path, TEXT)) == [
        Entry("fig06", "gin/fig06.gin", "0123abc", ()),
        Entry("fig17", "gin/fig17.gin", "0123abc", ("probe/curves", "diagnostics/*/all")),
        Entry("fig06", "gin/fig06_more.gin", "89abcdef", ()),
    ]
    assert queue_file.read(written(tmp_path, "# nothing\n")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fig06 a.gin", "1: a line `commit SHA` must come before the first entry. Received: 'fig06 a.gin'"),
        (
            "\ncommit main",
            "2: a line `commit SHA` must have 7 to 40 hexadecimal digits. Received: 'commit main'",
        ),
        (
            "commit 0123abc\nfig06 a.txt",
            "2: an entry must be `FIGURE EXPERIMENT [TAG ...]`, such as `fig04 gin/fig04.gin`. Received:"
            " 'fig06 a.txt'",
        ),
        (
            "commit 0123abc\n../fig06 a.gin",
            "2: an entry must be `FIGURE EXPERIMENT [TAG ...]`, such as `fig04 gin/fig04.gin`. Received:"
            " '../fig06 a.gin'",
        ),
    ],
)
def test_errors_name_the_line(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=f"^{re.escape(f'{path}:{message}')}$"):
        queue_file.read(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="^--queue must name a file that can be read: No such file or dir"):
        queue_file.read(tmp_path / "none.txt")
