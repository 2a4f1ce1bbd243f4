"""The best targets of a noise, and the map that is continuous across the walls of cells."""

import math

import pytest
import torch
from brenier import Potential
from brenier.data import ArraySource
from brenier.errors import InputError
from brenier.solve import StreamedPotential
from brenier.transport import Extension, top_targets
from brenier.transport.extended import temperature
from torch import Tensor

TARGETS = torch.randn(150, 12, generator=torch.Generator().manual_seed(0))
HEIGHTS = torch.randn(150, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 4
POTENTIAL = Potential.of(TARGETS, HEIGHTS)
NOISE = torch.randn(60, 12, generator=torch.Generator().manual_seed(2))


def scores(potential: Potential, x: Tensor) -> Tensor:
    return x.double() @ potential.targets.double().T + potential.heights


@pytest.mark.parametrize("count", [1, 2, 7, 150])
def test_top_targets_are_those_of_a_full_sort(count: int) -> None:
    top = top_targets(POTENTIAL, NOISE, count)
    every = scores(POTENTIAL, NOISE)
    best, order = every.sort(dim=1, descending=True)
    assert torch.equal(top.indices, order[:, :count])
    torch.testing.assert_close(top.gaps, best[:, :1] - best[:, :count], atol=1e-5, rtol=0)
    assert not top.gaps[:, 0].any()
    assert not top.angles[:, 0].any()


def test_equal_targets_come_lowest_index_first() -> None:
    potential = Potential.of(TARGETS[:4].repeat(3, 1), torch.zeros(12))
    top = top_targets(potential, NOISE, 12)
    assert torch.equal(top.indices[:, 0], potential.assign(NOISE))
    first = top.indices[:, :3]
    assert torch.equal(first, first[:, :1] + torch.tensor([0, 4, 8]))


def test_targets_without_mass_leave_empty_places() -> None:
    heights = torch.full((6,), -math.inf, dtype=torch.float64)
    heights[[1, 4]] = 0.0
    potential = Potential.of(TARGETS[:6], heights, torch.tensor([0, 0.5, 0, 0, 0.5, 0]))
    top = top_targets(potential, NOISE[:3], 4)
    assert set(top.indices[:, :2].flatten().tolist()) == {1, 4}
    assert (top.indices[:, 2:] == -1).all()
    assert top.gaps[:, 2:].isinf().all()
    assert top.angles[:, 2:].isnan().all()


def test_no_noise_and_one_target_are_no_special_case() -> None:
    assert top_targets(POTENTIAL, NOISE[:0], 3).indices.shape == (0, 3)
    assert Extension(1.0).transport(POTENTIAL, NOISE[:0]).shape == (0, 12)
    single = Potential.of(TARGETS[:1], torch.zeros(1))
    torch.testing.assert_close(Extension(1.0).transport(single, NOISE), TARGETS[:1].expand(60, 12))


def test_angles_are_those_between_supporting_planes() -> None:
    potential = Potential.of(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]), torch.zeros(3))
    top = top_targets(potential, torch.tensor([[1.0, 0.2]]), 2)  # targets (1, 0) and (0, 1), centred already
    assert top.indices.tolist() == [[0, 1]]
    assert float(top.angles[0, 1]) == pytest.approx(math.pi / 3)  # normals (1, 0, −1) and (0, 1, −1)


def test_far_from_walls_the_extended_map_is_the_plain_one() -> None:
    extension = Extension(math.pi, width=0.3)
    blend = extension.blend(POTENTIAL, NOISE)
    gaps = top_targets(POTENTIAL, NOISE, 2).gaps[:, 1]
    inside = gaps > 0.3 * temperature(POTENTIAL)
    assert inside.any()
    assert (~inside).any()
    assert torch.equal(blend.weights[:, 0] == 1, inside)
    assert torch.equal(extension.transport(POTENTIAL, NOISE)[inside], POTENTIAL.transport(NOISE)[inside])


def test_an_angle_of_zero_is_the_plain_map() -> None:
    extended = Extension(0.0, width=5.0).transport(POTENTIAL, NOISE)
    assert torch.equal(extended, POTENTIAL.transport(NOISE))


def test_the_extended_map_is_continuous_where_the_plain_one_jumps() -> None:
    line = torch.linspace(0, 1, 4001)[:, None] * (NOISE[1] - NOISE[0]) + NOISE[0]
    plain = POTENTIAL.transport(line).diff(dim=0).norm(dim=1).max()
    wide = Extension(math.pi, width=1.0, neighbours=150).transport(POTENTIAL, line)
    assert plain > 1
    assert wide.diff(dim=0).norm(dim=1).max() < 0.05


def test_on_a_wall_both_sides_have_equal_shares() -> None:
    potential = Potential.of(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.zeros(2))
    blend = Extension(math.pi).blend(potential, torch.tensor([[0.0, 3.0], [1e-4, 0.0]]))
    torch.testing.assert_close(blend.weights[0], torch.tensor([0.5, 0.5, 0, 0], dtype=torch.float64))
    assert blend.weights[1, 0] > 0.5 > blend.weights[1, 1] > 0.499


def test_no_blend_goes_across_a_large_angle() -> None:
    modes = torch.cat([TARGETS[:5] / 10 + 3, TARGETS[5:10] / 10 - 3])
    potential = Potential.of(modes, torch.zeros(10))
    on_the_wall = NOISE - NOISE.mean(dim=1, keepdim=True)  # ⟨x, 1⟩ = 0: both modes score alike
    near = Extension(0.5, width=3.0, neighbours=10).blend(potential, on_the_wall)
    used = near.weights > 0
    assert used.sum(dim=1).max() > 1
    side = near.indices // 5
    assert ((side == side[:, :1]) | ~used).all()
    across = Extension(math.pi, width=3.0, neighbours=10).blend(potential, on_the_wall)
    assert ((across.indices // 5 != across.indices[:, :1] // 5) & (across.weights > 0)).any()


@pytest.mark.parametrize(
    "changes", [{"angle": -1.0}, {"angle": float("nan")}, {"width": 0.0}, {"neighbours": 0}]
)
def test_extensions_that_make_no_sense_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        Extension(**({"angle": 1.0} | changes))


@pytest.mark.parametrize("count", [0, 151, 2.0])
def test_counts_beyond_the_targets_are_refused(count: int) -> None:
    with pytest.raises(InputError, match="count"):
        top_targets(POTENTIAL, NOISE, count)


def test_potentials_without_targets_in_memory_are_refused() -> None:
    source = ArraySource(torch.randn(12, 4, generator=torch.Generator().manual_seed(0)))
    streamed = StreamedPotential.of_resident(Potential.of(source.read(0, 12), torch.zeros(12)), source)
    for look in (
        lambda: Extension(1.0).blend(streamed, torch.zeros(2, 4)),
        lambda: top_targets(streamed, torch.zeros(2, 4), 2),
    ):
        with pytest.raises(InputError, match="in memory"):
            look()
