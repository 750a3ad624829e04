import logging
import os
import warnings

import pytest

from tfplastic.configuration import quiet


@pytest.fixture
def no_level_chosen(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "to be restored")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    logger = logging.getLogger("tensorflow")
    level = logger.level
    with warnings.catch_warnings():
        yield
    logger.setLevel(level)


LINES = {
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n": False,
    "I0000 00:00:1795371959.925767    6238 port.cc:153] oneDNN custom operations are on.\n": False,
    "W0000 00:00:1795371959.925767    6238 a.cc:1] beware\n": False,
    "E0000 00:00:1795371963.055631    6238 cuda_platform.cc:52] failed call to cuInit: INTERNAL\n": False,
    "E0000 00:00:1795371963.055631    6238 util.cc:131] oneDNN supports DT_INT32 only on platforms with "
    "AVX-512. Falling back to the default Eigen-based implementation if present.\n": False,
    "E0000 00:00:1795371963.055631    6238 util.cc:131] oneDNN supports DT_BFLOAT16 only on platforms with "
    "AVX-512. Falling back to the default Eigen-based implementation if present.\n": False,
    "E0000 00:00:1795371963.055631    6238 a.cc:1] a real error\n": True,
    "F0000 00:00:1795371963.055631    6238 a.cc:1] a fatal error\n": True,
    "Something else\n": True,
}


def test_only_chatter_is_dropped(no_level_chosen, capfd):
    with quiet.imports_quiet():
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "2"
        os.write(2, "".join(LINES).encode())
    os.write(2, b"I0000 afterwards\n")
    kept = "".join(line for line, is_kept in LINES.items() if is_kept)
    assert capfd.readouterr().err == f"{kept}I0000 afterwards\n"


def test_syntax_warnings_of_compiled_copies_are_dropped(no_level_chosen, capfd):
    source = "x = 1\ny = x is ()\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with quiet.imports_quiet():
            compile(source, "/anywhere/__autograph_generated_file1.py", "exec")
        with pytest.raises(SyntaxError):
            compile(source, "/anywhere/our_own.py", "exec")


def test_an_error_passes_and_so_does_what_was_written_before_it(no_level_chosen, capfd):
    with pytest.raises(ZeroDivisionError), quiet.imports_quiet():
        os.write(2, b"before\n")
        raise ZeroDivisionError
    assert capfd.readouterr().err == "before\n"


def test_a_chosen_level_is_left_alone(monkeypatch, capfd):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with quiet.imports_quiet():
        os.write(2, "".join(LINES).encode())
    assert capfd.readouterr().err == "".join(LINES)
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"


def test_the_first_operation_on_integers_is_in_the_block(no_level_chosen, monkeypatch):
    done = []
    monkeypatch.setattr(quiet, "_compute_integers", lambda: done.append(os.environ["TF_CPP_MIN_LOG_LEVEL"]))
    with quiet.imports_quiet():
        assert not done
    assert done == ["2"]
