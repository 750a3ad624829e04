import sys

import pytest

import tfplastic
from tfplastic import _renames
from tfplastic.configuration import gin_files
from tfplastic.configuration.errors import UsageError


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


def scan_error(*arguments):
    with pytest.raises(UsageError) as caught:
        gin_files.scan(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_bindings_in_the_order_of_reading_with_their_places(write):
    write("a.gin", "include 'sub/b.gin'\n\nf.x = @g  # comment\na/f.x = %size\nsize = 3\n")
    write("sub/b.gin", "f:\n  x = 1\n  y = 2\n")
    assert gin_files.scan(["a.gin"], [" f.x  =   3 "]) == [
        gin_files.Binding("", "f", "x", "sub/b.gin:2"),
        gin_files.Binding("", "f", "y", "sub/b.gin:3"),
        gin_files.Binding("", "f", "x", "a.gin:3"),
        gin_files.Binding("a", "f", "x", "a.gin:4"),
        gin_files.Binding("", "size", "", "a.gin:5"),
        gin_files.Binding("", "f", "x", "--gin_bindings=f.x = 3"),
    ]


def test_the_working_directory_comes_before_the_root(write, tmp_path, monkeypatch):
    root = tmp_path / "root"
    monkeypatch.setattr(gin_files, "root", lambda: root)
    write("root/gin/a.gin", "f.x = 1\nf.y = 1")
    assert len(gin_files.scan(["gin/a.gin"], [])) == 2
    write("gin/a.gin", "f.x = 2")
    assert len(gin_files.scan(["gin/a.gin"], [])) == 1


def test_the_root_holds_the_gin_files_of_this_repository():
    assert (gin_files.root() / "gin" / "atari_dqn_ln.gin").is_file()


def test_an_installed_package_carries_the_gin_files(tmp_path, monkeypatch):
    (tmp_path / "tfplastic" / "gin").mkdir(parents=True)
    monkeypatch.setattr(tfplastic, "__file__", str(tmp_path / "tfplastic" / "__init__.py"))
    assert gin_files.root() == tmp_path / "tfplastic"


def test_missing_file(write, tmp_path):
    expected = (
        f"--gin_file: no such file 'no.gin'; looked in {tmp_path} and {gin_files.root()}. Give its path"
    )
    assert scan_error(["no.gin"], []) == expected
    assert scan_error(["/no/such.gin"], []) == "--gin_file: no such file '/no/such.gin'. Give its path"


@pytest.mark.parametrize("name", _renames.GIN_FILES)
def test_a_file_that_is_gone_names_the_files_in_its_place(name, write):
    assert gin_files.find(name) is None
    assert all(map(gin_files.find, _renames.GIN_FILES[name]))
    gin_files.scan(_renames.GIN_FILES[name], [])  # They compose.
    places = " and ".join(_renames.GIN_FILES[name])
    for given in (name, f"./{name}", str(gin_files.root() / name)):
        assert scan_error([given], []) == f"--gin_file: {given!r} is gone: give {places} in its place"
    write("a.gin", f"include '{name}'\n")
    assert scan_error(["a.gin"], []) == f"a.gin:1: {name!r} is gone: give {places} in its place"


def test_the_files_in_place_of_one_that_is_gone():
    names = _renames.GIN_FILES
    assert names["gin/random_labels_digits_ln.gin"] == (
        "gin/random_labels_digits.gin",
        "gin/networks/mlp_ln.gin",
    )
    assert names["gin/mdp_random_label_cifar10_ln.gin"][1] == "gin/networks/cnn_ln.gin"
    assert names["gin/mdp_sparse_mnist_tuned_adam.gin"][1] == "gin/optimizers/tuned_adam.gin"
    assert len(names) == 12 and _renames.gin_files("gin/random_labels_other_ln.gin") == ()


def test_missing_include(write):
    write("a.gin", "f.x = 1\ninclude 'b.gin'\n")
    assert scan_error(["a.gin"], []).startswith("a.gin:2: no such file 'b.gin'; looked in ")
    assert scan_error([], ["include 'b.gin'"]).startswith(
        "--gin_bindings=include 'b.gin': no such file 'b.gin'"
    )


def test_a_file_that_includes_itself(write):
    write("a.gin", "include 'b.gin'")
    write("b.gin", "\ninclude 'a.gin'")
    assert scan_error(["a.gin"], []) == "b.gin:2: 'a.gin' includes itself. Remove this include"


def test_a_file_included_twice_is_no_loop(write):
    write("a.gin", "include 'b.gin'\ninclude 'b.gin'")
    write("b.gin", "f.x = 1")
    assert len(gin_files.scan(["a.gin"], [])) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gin/mdp_true_label_digits.gin", "gin/random_labels_digits.gin"),
        ("gin/mdp_true_label_digits.gin", "gin/mdp_random_label_digits.gin"),
        ("gin/atari_dqn.gin", "gin/mdp_sparse_digits.gin"),
        ("gin/random_labels_digits.gin", "gin/tasks/mdp.gin"),
    ],
)
def test_two_files_that_name_a_task_are_refused(one, other):
    for given in ([one, other], [other, "gin/sizes/quick.gin", one]):
        text = scan_error(given, [])
        assert text.startswith(f"--gin_file: {given[0]} (") or text.startswith(f"--gin_file: {given[0]} and ")
        assert f"{given[-1]}" in text and "both name a task, and a run has one. Give one of the two" in text


def test_a_task_and_its_variant_may_both_be_given(write):
    for given in (
        ["gin/atari_dqn.gin", "gin/atari_dqn_ln.gin"],
        ["gin/atari_dqn_ln.gin", "gin/atari_dqn.gin"],
    ):
        assert gin_files.scan(given, [])
    assert gin_files.scan(["gin/atari_dqn.gin"] * 2, ["train.task = @Other()"])  # the command line overrides
    write("both.gin", "include 'gin/tasks/mdp.gin'\ninclude 'gin/tasks/random_labels.gin'\n")
    assert gin_files.scan(["both.gin", "gin/tasks/mdp.gin"], [])


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "a.gin"
    path.write_bytes(b"\xff\xfe\x00")
    assert scan_error([str(path)], []).startswith(
        f"--gin_file: cannot read '{path}': 'utf-8' codec can't decode"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\nf.x = layer",
            "a.gin:2: 'layer' is not a value: strings need quotes, references @, macros %",
        ),
        ("f.x = \n", "a.gin:1: syntax error: Unable to parse value"),
        ("\n\nf.x 3", "a.gin:3: syntax error: Couldn't parse statement, expected ':' or '='"),
        ("f.x = 1 2", "a.gin:1: syntax error: Expected newline"),
        (
            "f:\n    x = 1\n  y = 2\n",
            "a.gin:3: syntax error: unindent does not match any outer indentation level",
        ),
    ],
)
def test_syntax_errors(write, text, message):
    write("a.gin", text)
    assert scan_error(["a.gin"], []) == message


def test_an_open_bracket(write):
    write("a.gin", "f.x = [1,\n2")
    assert scan_error(["a.gin"], []).startswith("a.gin:")


def test_syntax_error_of_a_binding():
    assert scan_error([], ["f.game = Pong"]) == (
        "--gin_bindings=f.game = Pong: 'Pong' is not a value: strings need quotes, references @, macros %"
    )


def test_source_of_is_the_last_of_the_innermost_scope(write):
    write("a.gin", "f.x = 1\nf.x = 2\ns/f.x = 3\nlib.f.y = 4\nm = 5\ns/t/m = 6\n")
    bindings = gin_files.scan(["a.gin"], [])
    assert gin_files.source_of(bindings, "", "package.lib.f", "x") == "a.gin:2"
    assert gin_files.source_of(bindings, "s/t", "package.lib.f", "x") == "a.gin:3"
    assert gin_files.source_of(bindings, "t", "package.lib.f", "x") == "a.gin:2"
    assert gin_files.source_of(bindings, "", "f", "y") == "a.gin:4"
    assert gin_files.source_of(bindings, "", "package.lib.gf", "x") is None
    assert gin_files.source_of(bindings, "", "f", "z") is None
    assert gin_files.source_of(bindings, "", "m", "") == "a.gin:5"
    assert gin_files.source_of(bindings, "s/t", "m", "") == "a.gin:6"


def test_a_value_nested_too_deeply(write):
    write("a.gin", f"f.x = 1\ng.x = {'[' * 5_000}{']' * 5_000}\n")
    ours, of_python = "a value is nested too deeply. Nest it less", "too many nested parentheses"
    newer = sys.version_info >= (3, 12)  # whose parser counts
    expected = f"a.gin:2: syntax error: {of_python}" if newer else f"a.gin: {ours}"
    assert scan_error(["a.gin"], []) == expected
    assert scan_error([], [f"f.x = {'(' * 5_000}"]).endswith(of_python if newer else ours)


def test_a_file_of_a_windows_editor(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.gin").write_bytes(b"\xef\xbb\xbff.x = 1\r\n\r\ng.y = 2\r\n")
    assert [each.source for each in gin_files.scan(["a.gin"], [])] == ["a.gin:1", "a.gin:3"]
