"""The lengths of a stream's tasks and the draws of its batches, as all streams take them."""

import dataclasses

from tfplastic._checks import check_boolean, check_one_of, check_positive_integer

SAMPLINGS = ("epochs", "replacement")
DROPS = ("partial", "any")
_NO_EPOCHS = "where `sampling` is 'replacement', which has no epochs"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """Lengths of tasks, and draws of batches.

    Attributes:
        steps_per_task: gradient steps of a task, in place of `epochs_per_task`.
        epochs_per_task: passes over the examples of a task, in place of `steps_per_task`; 1 is online
            learning of each task.
        batch_size: examples per gradient step; at most those of a task in epochs.
        sampling: `'epochs'`: in a new random order each time all examples have been used, which leaves out at
            most `batch_size - 1` at the end of an order; or `'replacement'`: each batch drawn independently.
        drop_last: batch that an epoch leaves out: its last one if that is not whole, `'partial'`; or its last
            one, whole or not, `'any'`, as in the released code of Kumar et al. 2023, whose epochs of 1,200
            examples in batches of 16 have 74 batches instead of 75.
        new_pass: whether each task begins a new pass over its examples. Tasks of whole epochs do in any case.

    Raises:
        ValueError: if an argument is out of its range, not exactly one of `steps_per_task` and
            `epochs_per_task` is given, or `drop_last` or `new_pass` is given without epochs.
    """

    steps_per_task: int | None = None
    epochs_per_task: int | None = None
    batch_size: int = 16
    sampling: str = "epochs"
    drop_last: str = "partial"
    new_pass: bool = False

    def __post_init__(self) -> None:
        lengths = {"steps_per_task": self.steps_per_task, "epochs_per_task": self.epochs_per_task}
        given = {name: each for name, each in lengths.items() if each is not None}
        for name, each in given.items():
            check_positive_integer(name, each)
        if len(given) != 1:
            rule = "`steps_per_task` or `epochs_per_task` must be given, and the other one be None"
            received = " and ".join(f"{name}={each}" for name, each in lengths.items())
            raise ValueError(f"{rule}. Received: {received}")
        check_positive_integer("batch_size", self.batch_size)
        check_one_of("sampling", self.sampling, SAMPLINGS)
        check_one_of("drop_last", self.drop_last, DROPS)
        check_boolean("new_pass", self.new_pass)
        if self.sampling == "replacement":
            if self.drop_last == "any":
                raise ValueError(f"`drop_last` must be 'partial' {_NO_EPOCHS}. Received: 'any'")
            if self.new_pass:
                raise ValueError(f"`new_pass` must be False {_NO_EPOCHS}. Received: True")

    def check_examples(self, count: int | None) -> None:
        """Raises `ValueError` unless the settings fit this number of examples, None if they have no end."""
        if count is None:
            if self.epochs_per_task is not None:
                rule = "must be None where examples have no end"
                raise ValueError(f"`epochs_per_task` {rule}. Received: {self.epochs_per_task}")
            if self.new_pass:
                raise ValueError("`new_pass` must be False where examples have no end. Received: True")
            return
        check_positive_integer("num_examples", count)
        if self.batch_size > count and self.sampling == "epochs":
            rule = f"must be at most `num_examples`, {count}"
            raise ValueError(f"`batch_size` {rule}. Received: {self.batch_size}")
        if self.drop_last == "any" and self.batch_size >= count:
            rule = f"must be below `num_examples`, {count}, where `drop_last` is 'any'"
            raise ValueError(f"`batch_size` {rule}. Received: {self.batch_size}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageStreamSettings(StreamSettings):
    """Settings of a stream on images.

    Attributes:
        pixel_range: new values of the levels 0 and 255.
    """

    pixel_range: tuple[float, float] = (-1.0, 1.0)
