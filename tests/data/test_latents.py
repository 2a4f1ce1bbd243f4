"""Noised latents are a function of (images, seed, index), however they are read."""

import math

import numpy as np
import pytest
import torch
from brenier.data import CallableSource, noise
from brenier.data import latents as module
from brenier.data.latents import NoisedLatents, SelectedRows, read_rows
from brenier.errors import InputError

IMAGES = torch.randn(37, 11, generator=torch.Generator().manual_seed(0))


def latents(**changes: object) -> NoisedLatents:
    return NoisedLatents(**({"images": IMAGES, "sigma": 0.7, "seed": 5} | changes))


def test_a_latent_is_scaled_image_plus_scaled_noise_of_its_index() -> None:
    epsilon = torch.as_tensor(noise.normal(5, 0, 37, 11, stream=noise.Stream.LATENT))
    expected = 0.25 * IMAGES.double() + 0.7 * epsilon.double()
    source = latents(scale=0.25)
    assert source.shape == (37, 11)
    assert len(source) == 37
    assert source.dtype == torch.float32
    torch.testing.assert_close(source.materialise().double(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("chunk", [1, 2, 7, 36, 37, 50])
def test_any_division_into_ranges_gives_the_same_bits(chunk: int) -> None:
    source = latents()
    pieces = [source.read(lo, min(37, lo + chunk)) for lo in range(0, 37, chunk)]
    assert torch.equal(torch.cat(pieces), source.materialise())


def test_taking_indices_gives_the_rows_of_the_whole_in_order_with_repeats() -> None:
    indices = torch.tensor([36, 3, 4, 5, 5, 0, 36, 20, 19])
    assert torch.equal(latents().take(indices), latents().materialise()[indices])
    assert torch.equal(latents().take(indices.numpy()), latents().materialise()[indices])


def test_nothing_taken_is_an_empty_matrix() -> None:
    assert latents().take(torch.empty(0, dtype=torch.int64)).shape == (0, 11)
    assert latents().read(9, 9).shape == (0, 11)


def test_fresh_noise_depends_on_the_seed_of_the_row_alone() -> None:
    source = latents()
    indices, seeds = torch.tensor([4, 4, 9, 10]), [100, 101, 102, 102]
    together = source.take(indices, seeds=seeds)
    alone = [source.take(indices[k : k + 1], seeds=seeds[k : k + 1]) for k in range(4)]
    assert torch.equal(together, torch.cat(alone))
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(together, source.take(indices))
    assert torch.equal(source.take(indices, seeds=[5] * 4), source.take(indices))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_numbers_of_numpy_serve_as_those_of_python(kind: type) -> None:
    source = latents(sigma=kind(0.5), scale=kind(2), seed=np.int64(5))
    assert torch.equal(source.materialise(), latents(sigma=0.5, scale=2, seed=5).materialise())
    assert latents(sigma=np.int64(1)).sigma == 1.0


def test_other_seeds_give_other_noise_and_zero_sigma_gives_the_images() -> None:
    assert not torch.equal(latents(seed=6).materialise(), latents().materialise())
    assert torch.equal(latents(sigma=0.0).materialise(), IMAGES)
    assert torch.equal(latents().clean(torch.tensor([2, 1])), IMAGES[[2, 1]])


def test_images_are_flattened_and_bytes_read_as_minus_one_to_one() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(4, 1, 8, 8)
    source = NoisedLatents(pixels, sigma=0.0)
    assert source.shape == (4, 64)
    assert source.materialise().min() == -1
    assert source.materialise().max() == 1


def test_half_precision_and_strided_images_are_read_like_their_float_copies() -> None:
    half = IMAGES.half()
    assert torch.equal(latents(images=half).materialise(), latents(images=half.float()).materialise())
    strided = torch.randn(11, 74, generator=torch.Generator().manual_seed(1)).T[::2]
    assert torch.equal(
        latents(images=strided).materialise(), latents(images=strided.contiguous()).materialise()
    )


def test_the_images_are_not_changed() -> None:
    before = IMAGES.clone()
    latents(scale=3.0).materialise()
    assert torch.equal(IMAGES, before)


@pytest.mark.parametrize(
    "changes",
    [
        {"images": IMAGES.double()},
        {"images": torch.zeros(5)},
        {"images": torch.full((2, 3), math.nan)},
        {"sigma": -1.0},
        {"sigma": math.inf},
        {"scale": math.nan},
        {"seed": -1},
        {"seed": 1.5},
    ],
)
def test_unusable_arguments_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        latents(**changes)


@pytest.mark.parametrize(
    "indices", [torch.tensor([37]), torch.tensor([-1]), torch.tensor([0.0]), torch.ones(1, 1)]
)
def test_indices_outside_of_the_data_are_refused(indices: torch.Tensor) -> None:
    with pytest.raises(InputError, match="indices"):
        latents().take(indices)


def test_ranges_outside_of_the_data_and_missing_seeds_are_refused() -> None:
    for lo, hi in ((-1, 2), (3, 2), (0, 38)):
        with pytest.raises(InputError, match="range"):
            latents().read(lo, hi)
    with pytest.raises(InputError, match="seeds"):
        latents().take(torch.tensor([1, 2]), seeds=[1])


class OneBuffer:
    """A source that reads into memory of its own, over and over, and takes no other."""

    shape, dtype = (37, 11), torch.float32

    def __init__(self) -> None:
        self.buffer = torch.empty(37, 11)

    def __len__(self) -> int:
        return 37

    def read(self, lo: int, hi: int, out: torch.Tensor | None = None) -> torch.Tensor:  # noqa: ARG002
        self.buffer[: hi - lo] = IMAGES[lo:hi]
        return self.buffer[: hi - lo]


def function_of_one_buffer() -> CallableSource:
    own = OneBuffer()
    return CallableSource(own.read, shape=own.shape, dtype=own.dtype, value_range="raw")


@pytest.mark.parametrize("make", [OneBuffer, function_of_one_buffer])
def test_rows_of_a_source_that_reuses_its_buffer_are_those_asked_for(make: type) -> None:
    indices = torch.tensor([36, 3, 4, 5, 5, 0, 36, 20, 19])
    assert torch.equal(read_rows(make(), indices), IMAGES[indices])
    assert torch.equal(SelectedRows(make(), indices).read(1, 8), IMAGES[indices[1:8]])
    assert torch.equal(NoisedLatents(make(), sigma=0.7, seed=5).take(indices), latents().take(indices))
    assert read_rows(make(), indices[:0]).shape == (0, 11)


def test_what_a_function_served_stays_as_it_was_when_more_is_read() -> None:
    source = function_of_one_buffer()
    first, second = source.read(0, 5), source.read(5, 9)
    assert torch.equal(first, IMAGES[:5])
    assert torch.equal(second, IMAGES[5:9])


def test_bytes_are_read_from_one_table_wherever_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU divides by a number by multiplying with its reciprocal, which rounds otherwise."""
    pixels = torch.arange(256, dtype=torch.uint8).view(8, 32)
    exact = pixels.numpy().astype(np.float32) / np.float32(127.5) - np.float32(1)
    indices = torch.tensor([7, 0, 3])
    assert np.array_equal(NoisedLatents(pixels, sigma=0.0).clean(indices).numpy(), exact[indices.numpy()])
    table = torch.randn(256, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(module, "byte_values", lambda _: table)
    assert torch.equal(NoisedLatents(pixels, sigma=0.0).clean(indices), table.view(8, 32)[indices])


@pytest.mark.gpu
def test_latents_of_bytes_on_a_gpu_have_the_bits_of_the_processor() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).view(8, 32)
    here, there = (NoisedLatents(images, sigma=0.7, seed=5) for images in (pixels, pixels.cuda()))
    indices = torch.tensor([7, 0, 3])
    assert torch.equal(there.read(1, 6).cpu(), here.read(1, 6))
    assert torch.equal(there.take(indices).cpu(), here.take(indices))
    assert torch.equal(there.clean(indices.cuda()).cpu(), here.clean(indices))
