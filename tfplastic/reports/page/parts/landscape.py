"""Gradient covariances and spectra."""

import matplotlib
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from tfplastic._text.program_names import as_started
from tfplastic.reports import style
from tfplastic.reports.figures import _sources, forms
from tfplastic.reports.figures.spectra import common_axis, has_nodes, limits
from tfplastic.reports.page.content import Picture, ReportInput, Section, listed
from tfplastic.reports.page.parts.arms import TOGETHER, looks
from tfplastic.reports.runs import Arrays, Runs

_COVARIANCES = "diagnostics/gradient_covariance/"
_STEPS = 3
_MOST_ARMS, _MOST_SPECTRA = 8, 2 * TOGETHER
_PANEL_IN = 1.9


def covariances(contents: ReportInput) -> Section:
    """Draws C_k along training, a row per arm and twin, of its first run: a mean of C_k is not a C_k."""
    runs, title = contents.runs, "Gradient covariance"
    tags = [tag for tag in runs.array_tags() if tag.startswith(_COVARIANCES)]
    if not tags:
        return Section(title, ["No run has gradient covariances (the diagnostic gradient_covariance)."])
    tag = f"{_COVARIANCES}all" if f"{_COVARIANCES}all" in tags else tags[-1]
    by_arm = _beside_twins(runs, tag)
    shown = dict(list(by_arm.items())[:_MOST_ARMS])
    texts = [
        "Entries are cosines of the gradients of single examples, which are ordered by clusters: red where"
        " gradients agree, blue where a step for one undoes another."
    ]
    if len(tags) > 1:
        texts.append(f"Shown of {tag.removeprefix(_COVARIANCES)!r} alone; there are {len(tags)} layers.")
    if len(by_arm) > len(shown):
        texts.append(f"Not shown: {listed(list(by_arm)[_MOST_ARMS:])}.")
    return Section(title, texts, pictures=[_matrices(shown)])


def spectra(contents: ReportInput) -> Section:
    """Returns the density of the Hessian's eigenvalues at the first and the last step that has one."""
    runs, title = contents.runs, "Spectra of the loss"
    there = [tag for tag in (*_sources.SPECTRA, _sources.TWIN_SPECTRUM) if tag in runs.array_tags()]
    if not there:
        program = as_started("bin/diagnose spectrum")
        reason = f"No run has a spectrum ({program}, or the diagnostic hessian_spectral_density)."
        return Section(title, [reason])
    texts, pictures = ["Eigenvalues of the Hessian of the loss, of the first run of each arm."], []
    for tag in there:
        by_arm = _of_first_runs(runs, tag)
        if len(by_arm) > _MOST_SPECTRA:
            texts.append(f"Not shown: {listed(list(by_arm)[_MOST_SPECTRA:])}.")
            by_arm = dict(list(by_arm.items())[:_MOST_SPECTRA])
        starts = range(0, len(by_arm), TOGETHER)
        chunks = [dict(list(by_arm.items())[start : start + TOGETHER]) for start in starts]
        pictures += [
            _densities(runs, tag, chunk, f"{number}" if number else "") for number, chunk in enumerate(chunks)
        ]
    return Section(title, texts, pictures=pictures)


def _of_first_runs(runs: Runs, tag: str) -> dict[str, list[Arrays]]:
    """Returns {arm: the files of its first run that has some, by step}."""
    found = {}
    for arm in runs.arms:
        for run in runs:
            if run.arm == arm and (files := runs.arrays(tag, run)):
                found[arm] = files
                break
    return found


def _beside_twins(runs: Runs, tag: str) -> dict[str, list[Arrays]]:
    """Returns the files of `_of_first_runs`, each arm followed by its Brownian twin if it has one."""
    of_twins, found = _of_first_runs(runs, _sources.of_twin(tag)), {}
    for arm, files in _of_first_runs(runs, tag).items():
        found[arm] = files
        if arm in of_twins:
            found[_sources.twin_name(arm)] = of_twins[arm]
    return found


def _matrices(by_arm: dict[str, list[Arrays]]) -> Picture:
    steps = {arm: _sources.spread_out([file.step for file in files], _STEPS) for arm, files in by_arm.items()}
    columns = max(map(len, steps.values()))
    figure, ax = style.new_figure(1.2 + _PANEL_IN * columns, 0.5 + _PANEL_IN * len(by_arm))
    figure.delaxes(ax)
    grid = figure.subplots(len(by_arm), columns, squeeze=False)
    for line, (arm, files) in zip(grid, by_arm.items(), strict=True):
        shown = [file for file in files if file.step in steps[arm]]
        for panel, file in zip(line, shown, strict=False):
            forms.matrix(file.values["matrix"], panel)
            panel.set_title(f"step {file.step:,}", fontsize=8)
        line[0].set_ylabel(arm)
        for panel in line[len(shown) :]:
            panel.set_axis_off()
    colors = ScalarMappable(Normalize(-1, 1), matplotlib.colormaps[style.DIVERGING])
    figure.colorbar(colors, ax=grid, shrink=min(1.0, 1.5 / len(by_arm)), aspect=14, label="cosine")
    size = len(next(iter(by_arm.values()))[0].values["matrix"])
    caption = f"C_k of {size} examples along training, of the first run of each arm."
    return Picture("gradient_covariance", "C_k along training", caption, figure)


def _densities(runs: Runs, tag: str, by_arm: dict[str, list[Arrays]], number: str) -> Picture:
    figure, ax = style.new_figure(4.6, 3.1)
    look = looks(runs.arms)
    every = [file for files in by_arm.values() for file in (files[0], files[-1])]
    axis = common_axis(every)
    for arm, files in by_arm.items():
        ends = files[-1:] if len(files) == 1 else [files[0], files[-1]]
        for file, line in zip(ends, ("-",) if len(ends) == 1 else (":", "-"), strict=True):
            forms.density(file, ax, look[arm][0], line, f"{arm}, step {file.step:,}", axis)
    forms.logarithmic(ax).set(xlabel="eigenvalue", ylabel="density")
    if axis is not None and all(map(has_nodes, every)):
        ax.set_ylim(limits(every, axis))
    figure.legend(loc="outside upper center", ncols=2, fontsize=7.5)
    name = tag.replace("/", "_") + number
    caption = f"{tag}: density of eigenvalues at the first (dotted) and the last step that has one."
    return Picture(name, "density of eigenvalues", caption, figure)
