"""Mixing bytes, noise and centre natively gives the bits of the same steps in torch."""

import pytest
import torch
from brenier.data import ArraySource, FlippedSource, NoisedLatents, Stream, mixing
from brenier.data.mixing import Grain, byte_values, mix
from brenier.data.noise import normal
from brenier.data.ranges import to_range

SIZES = [(1, 1), (3, 7), (2, 64), (5, 257), (3, 16_384), (2, 16_385)]


def inputs(rows: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(rows * d)
    pixels = torch.randint(0, 256, (rows, d), dtype=torch.uint8, generator=generator)
    return pixels, torch.randn(d, generator=generator)


@pytest.mark.parametrize(("rows", "d"), SIZES)
@pytest.mark.parametrize(("name", "scale"), [(None, 1.0), ("portable", 0.3)])
def test_bytes_noise_and_centre_are_rounded_one_after_the_other(
    rows: int, d: int, name: str | None, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name:
        monkeypatch.setenv("BRENIER_CPU_BODY", name)
    pixels, centre = inputs(rows, d)
    epsilon = normal(9, 40, rows, d, stream=Stream.LATENT)
    image = to_range(pixels, "-1..1", "x")[0]
    expected = (image * scale).add_(epsilon.mul_(0.7)).sub_(centre)
    grain, out = Grain(9, 40, 0.7), torch.empty(rows, d)
    assert torch.equal(
        mix(pixels, out, values=byte_values("-1..1"), scale=scale, grain=grain, centre=centre), expected
    )
    assert torch.equal(mix(image, out, scale=scale, grain=grain, centre=centre), expected)


@pytest.mark.parametrize("value_range", ["raw", "0..1", "-1..1"])
def test_without_noise_bytes_are_what_the_range_says(value_range: str) -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(4, 64)
    out = mix(pixels, torch.full((4, 64), torch.nan), values=byte_values(value_range))
    assert torch.equal(out, to_range(pixels, value_range, "x")[0])


def test_bits_do_not_depend_on_threads_or_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, centre = inputs(61, 50)
    source = NoisedLatents(pixels, sigma=0.4, seed=1)
    whole = source.read(0, 61, centre=centre)
    monkeypatch.setenv("BRENIER_NUM_THREADS", "1")
    monkeypatch.setattr(mixing, "VALUES_PER_CALL", 150)
    parts = [source.read(lo, min(lo + 8, 61), centre=centre) for lo in range(0, 61, 8)]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(whole, source.read(0, 61).sub_(centre))


def test_mirrored_bytes_are_the_bytes_of_mirrored_images() -> None:
    pixels, _ = inputs(3, 2 * 4 * 5)
    source = FlippedSource(ArraySource(pixels.view(3, 2, 4, 5)))
    assert torch.equal(
        NoisedLatents(source, sigma=0.0).read(1, 6), to_range(source.read_bytes(1, 6), None, "x")[0]
    )
    mirrored = pixels.view(3, 2, 4, 5).flip(3).flatten(1)
    assert torch.equal(source.read_bytes(0, 6)[1::2], mirrored)
    assert torch.equal(source.read(0, 0), torch.empty(0, 40))


def test_nothing_is_mixed_of_nothing() -> None:
    empty = torch.empty(0, 5, dtype=torch.uint8)
    assert mix(empty, torch.empty(0, 5), values=byte_values(None), grain=Grain(0, 0, 1.0)).shape == (0, 5)
