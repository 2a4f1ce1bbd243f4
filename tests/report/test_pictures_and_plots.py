"""Grids keep their pixels; plots are small, clean and the same for the same numbers."""

import numpy as np
import pytest
import torch
from brenier.errors import InputError
from brenier.report.pictures import grid, png
from brenier.report.plots import Chart, Line, round_numbers, svg
from brenier.report.plots import png as chart_png

CHART = Chart([Line("a < b & c", [1.0, 2.0], [3.0, 4.0], "blue", errors=[0.1, 0.2])], "x", "y", y_log=True)


def test_a_grid_shows_each_image_enlarged_in_reading_order() -> None:
    images = torch.linspace(-1, 1, 3)[:, None].repeat(1, 64)
    sheet = grid(images, (1, 8, 8), columns=2)
    assert sheet.shape == (2 * 40 + 3, 2 * 40 + 3)
    assert (sheet[0, 0], sheet[0, 43], sheet[43, 0], sheet[43, 43]) == (0, 128, 255, 128)
    assert (sheet[:40, :40] == 0).all()


def test_a_grid_clamps_what_lies_outside_the_range_and_takes_colour() -> None:
    images = torch.tensor([[-7.0, 0.0, 7.0]])
    sheet = grid(images, (3, 1, 1), columns=1)
    assert sheet.shape == (40, 40, 3)
    assert sheet[0, 0].tolist() == [0, 128, 255]
    assert png(sheet).startswith(b"\x89PNG")


@pytest.mark.parametrize(("dim", "shape"), [(63, None), (128, (2, 8, 8))])
def test_rows_that_are_no_pictures_are_refused(dim: int, shape: tuple[int, ...] | None) -> None:
    with pytest.raises(InputError, match="image_shape"):
        grid(torch.zeros(1, dim), shape)


def test_an_svg_is_inline_sized_by_the_page_coloured_by_it_and_escaped() -> None:
    text = svg(CHART)
    assert text.startswith("<svg")
    assert 'width="' not in text[: text.index(">")]
    assert "currentColor" in text
    assert "a &lt; b &amp; c" in text
    assert "#010203" not in text
    assert svg(CHART) == text


def test_a_png_chart_is_on_white() -> None:
    image = pytest.importorskip("PIL.Image")
    import io

    pixels = np.asarray(image.open(io.BytesIO(chart_png(CHART))).convert("RGBA"))
    assert pixels[0, 0].tolist() == [255, 255, 255, 255]


def test_plotting_leaves_matplotlibs_settings_alone() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    svg(CHART)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.59, 7.1, [1, 2, 5]),
        (0.1, 1.0, [0.1, 0.2, 0.5, 1]),
        (0.59, 4000, [1, 10, 100, 1000]),
        (6, 9, []),
        (2, 2, [2]),
    ],
)
def test_round_numbers_are_few_and_inside(low: float, high: float, ticks: list[float]) -> None:
    assert round_numbers(low, high) == pytest.approx(ticks)
