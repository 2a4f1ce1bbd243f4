"""Projection: one fixed order per output, so equality is of bits."""

import pytest
import torch
from brenier.engine import project as module
from brenier.engine.project import project
from brenier.errors import InputError
from helpers.problems import DEPTH_EDGES, TILE_EDGES, normal


def by_definition(y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """One chain of multiply-adds, each rounded once from float64, where the product is exact.

    Double rounding (float64, then float32) could differ from a fused operation with probability about 2^-29 a
    step; these seeds have no such case.
    """
    out = torch.zeros(len(y), len(z))
    for k in range(y.shape[1]):
        out = (out.double() + y[:, k, None].double() * z[None, :, k].double()).float()
    return out


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("depth", [*DEPTH_EDGES, 511, 512, 513, 1100])
def test_each_output_is_a_chain_of_fused_multiply_adds(depth: int) -> None:
    p = normal(15, 37, depth)
    assert torch.equal(project(p.x, p.y), by_definition(p.x, p.y))


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("size", TILE_EDGES)
def test_every_size_is_covered(size: int) -> None:
    p = normal(size, 33, 20)
    assert torch.equal(project(p.x, p.y), by_definition(p.x, p.y))
    assert torch.equal(project(p.y, p.x), by_definition(p.y, p.x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_types_and_strides_are_read_as_their_exact_values(dtype: torch.dtype) -> None:
    p = normal(50, 40, 60).of(dtype)
    y, z = p.x[:, ::2], p.y[::3, 1::2]
    assert torch.equal(project(y, z), project(y.float().contiguous(), z.float().contiguous()))


def test_bits_do_not_depend_on_threads_or_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    p = normal(200, 40, 600)
    whole = project(p.x, p.y)
    for threads, elements in (("1", 1), ("3", 5000)):
        monkeypatch.setenv("BRENIER_NUM_THREADS", threads)
        monkeypatch.setattr(module, "ELEMENTS_PER_CALL", elements)
        assert torch.equal(project(p.x, p.y), whole)
    assert torch.equal(project(p.x[77:78], p.y[5:6]), whole[77:78, 5:6])


def test_different_dimensions_are_an_input_error() -> None:
    with pytest.raises(InputError, match="the same dimension d"):
        project(torch.ones(3, 4), torch.ones(3, 5))


@pytest.mark.usefixtures("body")
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [(0, 0), (36, 299), (17, 256)])
@pytest.mark.parametrize("directions", [0, 1, 5, 97])
def test_no_value_that_is_not_finite_passes(value: float, place: tuple[int, int], directions: int) -> None:
    y, z = torch.ones(37, 300), torch.zeros(directions, 300)  # 0 · inf is nan
    y[place] = value
    with pytest.raises(InputError, match=rf"{value} at \[{place[0]}, {place[1]}\]"):
        project(y, z)
    with pytest.raises(InputError, match=f"{value} at"):
        project(torch.ones(3, 300), y)


def test_a_product_beyond_float32_is_infinite_and_no_error() -> None:
    assert project(torch.full((2, 3), 3e38), torch.ones(1, 3)).isinf().all()
