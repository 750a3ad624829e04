"""The numbers that the paper prints."""

import functools
from importlib import resources
from typing import Any

import pandas as pd

from tfplastic._checks import check_one_of

CELL = ["data", "architecture", "intervention"]
INTERVENTIONS = (
    *("two_hot", "reset_last_layer", "weight_decay", "spectral_norm", "layer_norm", "shrink_and_perturb"),
    *("none", "two_hot+reset_last_layer", "two_hot+weight_decay", "two_hot+spectral_norm"),
    *("two_hot+layer_norm", "two_hot+shrink_and_perturb"),
)
"""In the order of the rows of the paper's heat maps, first with a regression head but for `two_hot`."""
ARCHITECTURES = ("resnet18", "vit", "cnn", "mlp")
"""In the order of the columns of the paper's heat maps."""

_NAMES = {
    "default_adam": "Adam, default",
    "tuned_adam": "Adam, tuned",
    "gradient_descent": "gradient descent",
    "none": "None",
    "two_hot": "Two-Hot",
    "reset_last_layer": "Reset last layer",
    "weight_decay": "Weight decay",
    "spectral_norm": "Spectral norm",
    "layer_norm": "Layer norm",
    "shrink_and_perturb": "Shrink and perturb",
    "resnet18": "ResNet",
    "vit": "ViT",
    "cnn": "CNN",
    "mlp": "MLP",
    "cifar10": "CIFAR-10",
    "mnist": "MNIST",
    "easy": "Easy MDP",
    "hard": "Hard MDP",
    "sparse": "Sparse MDP",
    "c51": "C51",
}


def paper_name(arm: str) -> str:
    """Returns the paper's name of an arm, or of a part of its name; other names stay as they are.

    Example:
        >>> from tfplastic.reports.paper import paper_name
        >>> paper_name('default_adam'), paper_name('two_hot+layer_norm'), paper_name('mine')
        ('Adam, default', 'Two-Hot + Layer norm', 'mine')
    """
    if arm in _NAMES:
        return _NAMES[arm]
    parts = arm.split("+")
    known = len(parts) > 1 and all(part in _NAMES for part in parts)
    return " + ".join(_NAMES[part] for part in parts) if known else arm


def paper_numbers(figure: int | None = None) -> pd.DataFrame:
    """Returns every number that the paper prints in a figure, with its place: it has no other tables.

    Columns: `figure` and `section` of the paper; `quantity`: 'plasticity_loss', by which the final probe loss
    rises while the agent trains (positive is plasticity lost), 'initial_loss' and 'final_loss' of the probe,
    'improvement_percent' over Double DQN; `data`: 'cifar10', 'mnist' or a game; `architecture`;
    `intervention`; `value`; `spread`, the standard deviation that follows a +-, NaN without one. The paper
    does not give the number of runs behind a value. Fig. 6 shows the rows of Fig. 8 that have no `+`, and has
    none of its own. Figs. 10 and 11 repeat the spreads of Figs. 8 and 9, which are of differences; they are
    left out.

    Args:
        figure: only the rows of that figure.

    Raises:
        ValueError: the paper prints no numbers in that figure.

    Example:
        >>> from tfplastic import reports
        >>> numbers = reports.paper_numbers(7)
        >>> len(numbers), round(float(numbers.value.median()), 1)
        (57, 22.2)
    """
    numbers: Any = _read()
    if figure is not None:
        check_one_of("figure", figure, sorted(map(int, set(numbers["figure"]))))
    return (numbers if figure is None else numbers[numbers["figure"] == figure]).reset_index(drop=True)


def paper_cells() -> pd.DataFrame:
    """Returns the cells of the heat maps of Figs. 8 to 11, side by side.

    Columns: `data`, `architecture`, `intervention`, `plasticity_loss`, `spread`, `initial_loss`,
    `final_loss`.
    """
    numbers: Any = _read()
    of_cells = numbers[numbers["figure"].between(8, 11)]
    values = of_cells.pivot(index=CELL, columns="quantity", values="value")
    spread = of_cells[of_cells["quantity"] == "plasticity_loss"].set_index(CELL)["spread"]
    table = values.assign(spread=spread).reset_index().rename_axis(columns=None)
    return table[[*CELL, "plasticity_loss", "spread", "initial_loss", "final_loss"]]


@functools.cache
def _read() -> pd.DataFrame:
    with resources.files("tfplastic.reports").joinpath("paper_numbers.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype={"section": "str"})
