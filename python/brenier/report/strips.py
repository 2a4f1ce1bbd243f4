"""Labelled strips of images as one PNG, for a README."""

from __future__ import annotations

from torch import Tensor

from brenier.report.pictures import grid
from brenier.report.plots import figure

IMAGES = 14


def strips(rows: list[tuple[str, Tensor]], image_shape: tuple[int, int, int], title: str) -> bytes:
    """One line of images for each (label, samples) pair, on white, under a title."""
    with figure("#222222", 7.6, 0.42 * len(rows) + 0.4) as (canvas, save):
        canvas.suptitle(title, fontsize=9, x=0.01, ha="left")
        for axes, (label, images) in zip(canvas.subplots(len(rows), squeeze=False)[:, 0], rows, strict=True):
            axes.imshow(
                grid(images[:IMAGES], image_shape, IMAGES), cmap="gray", vmin=0, vmax=255, aspect="equal"
            )
            axes.set_axis_off()
            axes.text(-0.012, 0.5, label, transform=axes.transAxes, ha="right", va="center", fontsize=8)
        return save("png")
