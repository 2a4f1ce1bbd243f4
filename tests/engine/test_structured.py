"""Structured directions: the bits of the transform written out, and the moments of random directions."""

import numpy as np
import pytest
import torch
from brenier.engine import structured as module
from brenier.engine.structured import block_size, frame_of, sign_count, structured
from brenier.errors import InputError


def frame(dimension: int, directions: int, seed: int = 0) -> module.Frame:
    generator = np.random.default_rng(seed)
    signs = generator.integers(0, 2, sign_count(dimension))
    return frame_of(dimension, signs, generator.permutation(block_size(dimension))[:directions])


def transformed(values: np.ndarray) -> np.ndarray:
    """The Walsh–Hadamard transform of float32 rows, in the order of sums and of outputs that hadamard.hpp has."""
    leaves = values.reshape(-1, 256)
    for _ in range(8):
        pairs = leaves.reshape(len(leaves), 128, 2)
        leaves = np.concatenate([pairs[..., 0] + pairs[..., 1], pairs[..., 0] - pairs[..., 1]], axis=1)
    out, stride = leaves.reshape(values.shape), 256
    while stride < values.shape[1]:
        pairs = out.reshape(len(out), -1, 2, stride)
        out = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
        out, stride = out.reshape(values.shape), 2 * stride
    return out


def by_definition(y: torch.Tensor, frame: module.Frame) -> np.ndarray:
    blocks = -(-y.shape[1] // frame.block)
    rows = np.zeros((len(y), blocks * frame.block), dtype=np.float32)
    rows[:, : y.shape[1]] = y.numpy() * (np.float32(1) / np.sqrt(np.float32(frame.block)))
    first, second = (1 - 2 * frame.signs.astype(np.float32)).reshape(2, blocks, frame.block)
    total = np.zeros((len(y), frame.block), dtype=np.float32)
    for b in range(blocks):
        total += transformed(rows[:, b * frame.block : (b + 1) * frame.block] * first[b]) * second[b]
    return transformed(total)[:, frame.chosen]


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("dimension", [1, 2, 255, 1000, 1024, 1025, 4099, 65_536, 65_537, 131_100])
def test_every_output_is_a_fixed_tree_of_sums(dimension: int) -> None:
    y = torch.randn(3, dimension, generator=torch.Generator().manual_seed(dimension))
    made = frame(dimension, 37)
    assert np.array_equal(structured(y, made).numpy(), by_definition(y, made))


def test_bits_do_not_depend_on_threads_pieces_or_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    y, made = torch.randn(23, 2050, generator=torch.Generator().manual_seed(0)), frame(2050, 9)
    whole = structured(y, made)
    monkeypatch.setenv("BRENIER_NUM_THREADS", "1")
    monkeypatch.setattr(module, "VALUES_PER_CALL", 5000)
    assert torch.equal(structured(y, made), whole)
    assert torch.equal(structured(y[7:8], made), whole[7:8])
    assert torch.equal(structured(y.repeat_interleave(2, 0)[::2], made), whole)


@pytest.mark.parametrize("spiky", [False, True])
def test_coordinates_have_the_second_moments_of_normal_directions(spiky: bool) -> None:
    """E⟨a, y⟩⟨a, z⟩ = ⟨y, z⟩, also for rows of a single value, and ⟨a, y⟩/‖y‖ has the normal's fourth moment."""
    d = 3000
    y = torch.zeros(2, d)
    y[0, 7], y[1, [7, 2999]] = 2.0, 1.0
    if not spiky:
        y = torch.randn(2, d, generator=torch.Generator().manual_seed(2))
    drawn = torch.cat([structured(y, frame(d, 1024, seed)) for seed in range(40)], dim=1).double()
    gram, exact = drawn @ drawn.T / drawn.shape[1], y.double() @ y.double().T
    assert torch.allclose(gram, exact, atol=0.03 * float(exact.diagonal().max()))
    assert (drawn**4).mean(1) / gram.diagonal() ** 2 == pytest.approx([3, 3], abs=0.15)


def test_other_dimensions_types_and_values_are_refused() -> None:
    made = frame(1030, 5)
    with pytest.raises(InputError, match="dimension 1030"):
        structured(torch.ones(2, 1029), made)
    with pytest.raises(InputError, match="float32"):
        structured(torch.ones(2, 1030, dtype=torch.float64), made)
    bad = torch.ones(2, 1030)
    bad[1, 1029] = torch.inf
    with pytest.raises(InputError, match="projected"):
        structured(bad, made)
    assert structured(torch.empty(0, 1030), made).shape == (0, 5)
