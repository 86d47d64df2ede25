"""The type of the pixels of a trial's images, and their values of black and white.

Weights are useful only together with both: they say how images become inputs of the network. The
journal records them for each trial, and an exported model in `model.json`.
"""

from __future__ import annotations

from dataclasses import dataclass

from cae.trial.datasets import Images
from cae.trial.datasets.base import Dataset
from cae.trial.datasets.pixel_values import (
    BYTE_RANGE,
    STORED_TYPES,
    ValueRange,
    check_value_range,
    format_range,
)


@dataclass(frozen=True)
class PixelFormat:
    """The type of the images that a model was trained on, and their values of black and white."""

    dtype: str = "uint8"
    value_range: ValueRange = BYTE_RANGE

    def __str__(self) -> str:
        return f"{self.dtype} with black and white = {format_range(self.value_range)}"

    @classmethod
    def of(cls, images: Images) -> PixelFormat:
        """Return the format of the images of a data set."""
        return cls(images.train.pixels.dtype.name, images.value_range)

    @classmethod
    def from_json(cls, recorded: object) -> PixelFormat | None:
        """Return what `to_json` returned; None if it is not a complete description."""
        if not isinstance(recorded, dict) or recorded.get("dtype") not in STORED_TYPES:
            return None
        try:
            value_range = check_value_range(recorded.get("value_range"))
        except ValueError:
            return None
        return cls(str(recorded["dtype"]), value_range)

    def to_json(self) -> dict[str, object]:
        """Return it as a dictionary, with how inputs of the network are made."""
        black, white = self.value_range
        return {
            "dtype": self.dtype,
            "value_range": list(self.value_range),
            "inputs": f"(pixels - {black:g}) / {white - black:g}, float32",
        }


def recorded_format(recorded: object, dataset: Dataset) -> PixelFormat | None:
    """Return the recorded format of the images of a data set.

    Older versions did not record it. It is known all the same for built-in data sets whose files
    always have 8 bits; None for all others.
    """
    pixels = PixelFormat.from_json(recorded)
    if pixels is None and dataset.has_bytes and dataset.is_builtin():
        return PixelFormat()
    return pixels
