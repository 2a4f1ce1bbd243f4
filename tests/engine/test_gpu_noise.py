"""Noise of the device: the numbers of the CPU, in Triton's interpreter and by the host check of the CUDA rules."""

import pytest
import torch
from brenier.data import Stream, normal
from brenier.engine import gpu_noise
from brenier.engine.cuda import why_module_missing
from brenier.engine.cuda_filter import module
from brenier.engine.triton_filter import interpreted
from torch import Tensor

SEEDS = [0, 1, 0x80000000, 0x299F31D0A4093822, 2**64 - 1]
FIRSTS = [0, 2**31 - 1, 2**32 - 2, 2**64 - 3]


def by_triton(seed: int, first: int, rows: int, depth: int, stream: Stream) -> Tensor:
    out = torch.full((rows, depth), torch.nan)
    gpu_noise.by_triton(out, seed, first, int(stream))
    return out


def by_cuda_rules(seed: int, first: int, rows: int, depth: int, stream: Stream) -> Tensor:
    out = torch.full((rows, depth), torch.nan)
    module().normals_on_host(module().Normals(seed, first, int(stream), out.data_ptr(), rows, depth))
    return out


MAKERS = [
    pytest.param(by_triton, marks=pytest.mark.skipif(not interpreted(), reason="a GPU is here")),
    pytest.param(
        by_cuda_rules,
        marks=pytest.mark.skipif(why_module_missing() is not None, reason=str(why_module_missing())),
    ),
]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("first", FIRSTS)
def test_every_seed_and_number_has_the_bits_of_the_cpu(make, seed: int, first: int) -> None:
    expected = torch.as_tensor(normal(seed, first, 5, 7, stream=Stream.FIT))
    assert torch.equal(make(seed, first, 5, 7, Stream.FIT), expected)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("depth", [1, 3, 4, 5, 1023, 1025])
def test_every_tail_of_depth_is_written(make, depth: int) -> None:
    expected = torch.as_tensor(normal(3, 10, 4, depth, stream=Stream.SUBSPACE))
    assert torch.equal(make(3, 10, 4, depth, Stream.SUBSPACE), expected)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_nothing_is_launched_for_nothing(shape: tuple[int, int]) -> None:
    assert gpu_noise.normals(0, 0, *shape, 0, torch.device("cpu")).shape == shape


@pytest.mark.gpu
@pytest.mark.parametrize("by", ["cuda", "triton"])
def test_the_device_makes_the_numbers_of_the_cpu(by: str) -> None:
    """Normals may differ by two units in the last place; nothing contracts them, so that none is expected."""
    expected = torch.as_tensor(normal(11, 2**40, 3000, 130, stream=Stream.FIT))
    if by == "cuda":
        if why_module_missing() is not None:
            pytest.skip(str(why_module_missing()))
        got = normal(11, 2**40, 3000, 130, stream=Stream.FIT, device="cuda")
    else:
        got = torch.empty(3000, 130, device="cuda")
        gpu_noise.by_triton(got, 11, 2**40, int(Stream.FIT))
    apart = (got.cpu().view(torch.int32) - expected.view(torch.int32)).abs().max()
    print(f"{by}: largest difference {int(apart)} ulp")
    assert apart <= 2
