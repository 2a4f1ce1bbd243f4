"""Noise by (seed, index): published vectors, moments, and independence of how it is cut."""

import numpy as np
import pytest
import torch
from brenier.data import Stream, integers, normal, unit_vectors
from brenier.data import noise as module
from brenier.engine.native import core
from brenier.errors import InputError

KNOWN = [  # Random123's known-answer file for philox4x32-10: counter, key, words
    ("00000000 00000000 00000000 00000000", 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", 2**64 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", 0x299F31D0A4093822, "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
BODIES = [index for index, row in enumerate(core().bodies()) if row[1]]
NAMES = [row[0] for row in core().bodies()]


def words_of(text: str) -> np.ndarray:
    return np.array([int(word, 16) for word in text.split()], dtype=np.uint32)


def philox(body: int, counter: np.ndarray, key: int) -> np.ndarray:
    out = np.zeros(4, dtype=np.uint32)
    core().philox(body, counter.ctypes.data, key, out.ctypes.data)
    return out


def box_muller(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Float64 normals of four words, as noise_body.hpp states it, and the radius of each."""
    a, b = words[0::2].astype(np.float64), words[1::2].astype(np.float64)
    r = np.sqrt(-2 * np.log(np.floor(a / 2) * 2.0**-31 + 2.0**-32))
    angle = 2 * np.pi * b * 2.0**-32
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=-1).ravel(), r.repeat(2)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_words(body: int, counter: str, key: int, expected: str) -> None:
    assert (philox(body, words_of(counter), key) == words_of(expected)).all()


def test_elements_come_from_their_counters_to_four_units_of_the_radius() -> None:
    seed, first, d = 0x123456789ABCDEF, 2**33 + 5, 11
    rows = normal(seed, first, 400, d, stream=Stream.LATENT).numpy().astype(np.float64)
    for r in range(400):
        index = first + r
        for quarter in range(3):
            counter = np.array([quarter, index % 2**32, index >> 32, Stream.LATENT], dtype=np.uint32)
            expected, radius = box_muller(philox(0, counter, seed))
            found = rows[r, 4 * quarter : 4 * quarter + 4]
            assert (np.abs(found - expected[: len(found)]) <= 4 * 2.0**-24 * radius[: len(found)]).all()


@pytest.mark.parametrize("body", [NAMES[index] for index in BODIES])
def test_bits_are_the_same_on_every_instruction_set(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw() -> list[torch.Tensor]:
        return [
            normal(3, 9, 500, 37, stream=Stream.FIT),
            unit_vectors(3, 9, 500, 37, stream=Stream.DIRECTION),
            integers(3, 9, 5000, 12345, stream=Stream.POOL),
        ]

    monkeypatch.setenv("BRENIER_CPU_BODY", body)
    here = draw()
    monkeypatch.setenv("BRENIER_CPU_BODY", "portable")
    assert all(torch.equal(a, b) for a, b in zip(here, draw(), strict=True))


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 7, 64, 65, 255, 256, 257, 1021])
def test_rows_do_not_depend_on_how_they_are_cut(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = normal(1, 0, 70, d, stream=Stream.TRAIN)
    monkeypatch.setenv("BRENIER_NUM_THREADS", "3")
    monkeypatch.setattr(module, "ELEMENTS_PER_CALL", 50)
    assert torch.equal(normal(1, 0, 70, d, stream=Stream.TRAIN), whole)
    assert torch.equal(normal(1, 33, 1, d, stream=Stream.TRAIN), whole[33:34])
    assert torch.equal(
        unit_vectors(1, 33, 1, d, stream=Stream.TRAIN), unit_vectors(1, 0, 70, d, stream=Stream.TRAIN)[33:34]
    )


def test_moments_are_those_of_independent_standard_normals() -> None:
    x = normal(7, 0, 1 << 15, 64, stream=Stream.CHECK).double()
    count = x.numel()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs(float((x**power).mean()) - moment) < 5 * (variance / count) ** 0.5, power
    correlation = x.T @ x / len(x) - torch.eye(64, dtype=torch.float64)
    assert correlation.abs().max() < 6 / len(x) ** 0.5
    assert 4.5 < x.abs().max() < 6.67


def test_the_distribution_function_is_the_normal_one() -> None:
    x = normal(11, 0, 1 << 14, 64, stream=Stream.CHECK).flatten().double().sort().values
    exact = torch.special.ndtr(x)
    empirical = torch.arange(1, len(x) + 1, dtype=torch.float64) / len(x)
    assert (exact - empirical).abs().max() < 1.95 / len(x) ** 0.5  # Kolmogorov–Smirnov at 0.1%


def test_streams_and_seeds_are_different_noise() -> None:
    draws = [normal(5, 0, 100, 64, stream=stream).flatten() for stream in Stream]
    draws.append(normal(6, 0, 100, 64, stream=Stream.FIT).flatten())
    correlation = torch.corrcoef(torch.stack(draws)) - torch.eye(len(draws))
    assert correlation.abs().max() < 6 / 80


def test_unit_vectors_have_norm_one_to_float32() -> None:
    c = unit_vectors(2, 0, 1000, 50, stream=Stream.DIRECTION).double()
    assert (c.norm(dim=1) - 1).abs().max() < 1e-7
    assert unit_vectors(2, 0, 100, 1, stream=Stream.DIRECTION).abs().eq(1).all()


def test_integers_are_uniform() -> None:
    counts = torch.bincount(integers(2, 0, 70_000, 7, stream=Stream.SAMPLE), minlength=7)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 22.5  # chi-square, 6 degrees of freedom, 0.1%
    big = integers(2, 0, 1000, 2**62, stream=Stream.SAMPLE)
    assert big.min() >= 0
    assert 2**61 < big.max() < 2**62
    assert integers(2, 0, 10, 1, stream=Stream.SAMPLE).eq(0).all()


def test_sizes_of_zero_are_empty() -> None:
    assert normal(0, 0, 0, 5, stream=Stream.FIT).shape == (0, 5)
    assert normal(0, 0, 5, 0, stream=Stream.FIT).shape == (5, 0)
    assert integers(0, 0, 0, 5, stream=Stream.FIT).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 0, 1, 1), "seed"),
        ((2**64, 0, 1, 1), "seed"),
        ((1.5, 0, 1, 1), "seed: expected a whole number"),
        ((0, -1, 1, 1), "first"),
        ((0, 0, -1, 1), "rows"),
        ((0, 0, 1, -1), "d: expected"),
    ],
)
def test_wrong_arguments_are_input_errors(arguments: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        normal(*arguments, stream=Stream.FIT)


def test_a_stream_is_named_not_numbered() -> None:
    with pytest.raises(InputError, match=r"brenier\.data\.Stream"):
        normal(0, 0, 1, 1, stream=0)  # type: ignore[arg-type]


def test_high_must_be_positive() -> None:
    with pytest.raises(InputError, match="1 ≤ high"):
        integers(0, 0, 1, 0, stream=Stream.FIT)
