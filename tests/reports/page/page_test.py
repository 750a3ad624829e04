"""The page as a whole: complete, self-contained, and nothing that runs say is markup."""

import html.parser
import re

import pytest

from tests.reports.page import made_up_sweep
from tests.reports.page.made_up_sweep import HOSTILE
from tests.reports.run_directories import write_run
from tfplastic.reports import discovery, page, read_runs

SECTIONS = [
    "Summary",
    "Compared with the paper",
    "Learning curves",
    "Probes",
    "Layers over time",
    "Gradient covariance",
    "Spectra of the loss",
    "Runs",
]
EVIL = "evil<script>alert(1)<" + "script>$\\frac{-seed0"


class Elements(html.parser.HTMLParser):
    """Which elements and attributes a page has, that every element is closed, and its texts."""

    def __init__(self, text):
        super().__init__()
        self.names, self.attributes, self.texts, self.open = set(), [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A report of a sweep in which much went wrong, some of it on purpose."""
    root = tmp_path_factory.mktemp("hostile")
    made_up_sweep.write_sweep(root, ("none", "layer_norm"), (0,))
    made_up_sweep.write_sweep_file(root, ("none", "layer_norm", "two_hot"), (0, 1, 2), two_hot_1="node lost")
    made_up_sweep.spoil(root)
    config = f"evil.binding = '{HOSTILE}'\n"
    evil = made_up_sweep.scalars_of(0.3, 0, 9) | {
        f"evaluation/{HOSTILE.replace('/', '').replace(chr(34), '')}": [(0, 1.0)]
    }
    write_run(root / EVIL, 0, evil, made_up_sweep.arrays_of(0.3, 0), config=config, device=HOSTILE)
    found = discovery.find([str(root)])
    contents = page.ReportInput(found.runs, f"title {HOSTILE}", f"bin/report {HOSTILE}", found.errors)
    out = tmp_path_factory.mktemp("out") / "report"
    return page.write(contents, out)


def test_nothing_from_runs_is_markup(hostile):
    text = hostile.read_text()
    elements = Elements(text)
    assert elements.open == []
    assert elements.names.isdisjoint({"script", "img", "iframe", "object", "link", "a:script"})
    assert "<script" not in text.lower()
    assert not [name for _, name, _ in elements.attributes if name.startswith("on")]
    shown = "".join(elements.texts)
    assert HOSTILE in shown and EVIL.removesuffix("-seed0") in shown


def test_the_page_needs_nothing_else(hostile):
    elements = Elements(hostile.read_text())
    places = [value for _, name, value in elements.attributes if name in ("src", "href", "xlink:href")]
    assert places and all(place.startswith(("#", "data:")) for place in places)
    css = hostile.read_text().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in css and "@import" not in css and "prefers-color-scheme: dark" in css


def test_what_went_wrong_is_said(hostile):
    shown = "".join(Elements(hostile.read_text()).texts)
    for line in (
        f"none-seed1: The loss is not finite {HOSTILE}",
        "none-seed2: running, step 4000 of 8000",
        "torn-seed0: metrics.csv is missing",
        "layer_norm: seed 2 is missing",
        "two_hot: seed 1 is missing",
        "two_hot: seed 1: node lost",
    ):
        assert line in shown
    runs = (hostile.parent / "tables" / "runs.csv").read_text()
    assert runs.count("missing") >= 5 and "torn" in runs and "not finite" in runs


def test_every_picture_and_table_has_its_files(hostile):
    figures = sorted(path.name for path in (hostile.parent / "figures").iterdir())
    assert [name[:-4] for name in figures if name.endswith(".png")] == [
        name[:-4] for name in figures if name.endswith(".svg")
    ]
    for name in ("layers_dead_units", "gradient_covariance", "spectrum", "probe_curves", "curves_train_loss"):
        assert f"{name}.png" in figures
    captions = (hostile.parent / "captions.md").read_text()
    assert captions.count("\n- figures/") == len(figures) // 2 and "range of the runs" in captions
    tables = {path.stem for path in (hostile.parent / "tables").iterdir()}
    assert {"arms", "runs", "probe_losses", "last_values", "configuration_differences"} <= tables


def test_sections_and_their_links(hostile):
    text = hostile.read_text()
    assert re.findall(r"<h2>(.*?)</h2>", text) == SECTIONS
    anchors = re.findall(r'<section id="(.*?)"', text)
    assert re.findall(r"<nav[^>]*>.*?</nav>", text)[0].count('href="#') == len(SECTIONS) == len(set(anchors))


def test_sections_without_data_say_why(tmp_path):
    write_run(tmp_path / "only-seed0")
    parts = page.sections(page.ReportInput(read_runs(tmp_path), "t"))
    assert [part.title for part in parts] == SECTIONS
    for part in parts[1:-1]:
        assert len(part.texts) == 1 and not part.pictures and not part.tables
    (path,) = [page.write(page.ReportInput(read_runs(tmp_path), "t"), tmp_path / "report")]
    assert "No run was probed" in path.read_text()


def test_the_same_runs_give_the_same_bytes(tmp_path):
    root = made_up_sweep.write_sweep(tmp_path / "runs", ("a", "b"), (0, 1), length=2, rich=False)
    contents = page.ReportInput(discovery.find([str(root)]).runs, "t")
    first, second = (page.write(contents, tmp_path / name) for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    forked = page.write(contents, tmp_path / "three", num_processes=2)
    assert forked.read_bytes() == first.read_bytes()


def test_many_arms_share_panels(tmp_path):
    arms = [
        f"{data}-{name}" for data in ("cifar10", "mnist") for name in ("none", "layer_norm", "w", "x", "y")
    ]
    root = made_up_sweep.write_sweep(tmp_path, arms, (0,), rich=False)
    curves = page.sections(page.ReportInput(discovery.find([str(root)]).runs, "t"))[2]
    assert [ax.get_title() for ax in curves.pictures[0].figure.axes] == ["cifar10", "mnist"]
    assert curves.pictures[0].is_wide
