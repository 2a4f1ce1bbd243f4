"""A numbered direction is the same whoever makes it beside whichever others."""

import pytest
import torch
from brenier.data.noise import Stream, normal
from brenier.engine.project import project
from brenier.engine.structured import block_size
from brenier.solve.directions import FRAME_SHARE, Dense, Directions, Structured
from brenier.solve.principal import principal_directions
from brenier.solve.sampling import SamplingPlan, SubspaceSampler
from helpers import known_answers as problems

ROWS = problems.image_like(19, 1030)
FRAME = block_size(1030) // FRAME_SHARE


@pytest.mark.parametrize("directions", [Dense(5, 1030), Structured(5, 1030)])
@pytest.mark.parametrize("cut", [1, 33, 64])
def test_a_direction_does_not_depend_on_those_made_with_it(directions: Directions, cut: int) -> None:
    first = FRAME - 70  # across two frames
    whole = directions.projector(first, 130).onto(ROWS)
    parts = [directions.projector(first + lo, min(cut, 130 - lo)).onto(ROWS) for lo in range(0, 130, cut)]
    assert torch.equal(torch.cat(parts, dim=1), whole)


def test_dense_directions_are_noise_of_their_stream() -> None:
    z = normal(5, 3, 70, 1030, stream=Stream.SUBSPACE)
    assert torch.equal(Dense(5, 1030).projector(3, 70).onto(ROWS), project(ROWS, z))


def test_frames_and_seeds_have_different_directions() -> None:
    first = Structured(5, 1030).projector(0, FRAME).onto(ROWS)
    second = Structured(5, 1030).projector(FRAME, FRAME).onto(ROWS)
    other = Structured(6, 1030).projector(0, FRAME).onto(ROWS)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)
    assert len(torch.unique(first[0])) == FRAME


def test_structured_coordinates_leave_the_principal_part_out() -> None:
    """Coordinates of y and of y plus anything in the span of the axes agree."""
    principal = principal_directions(ROWS)
    along = principal.axes[: len(ROWS) // 2].mean(0, keepdim=True)
    plan = SamplingPlan(8, len(principal.axes), 0.0, structured=True)
    one = SubspaceSampler(ROWS, plan, principal, 1).coordinates(0, 8)
    two = SubspaceSampler(ROWS + 3 * along, plan, principal, 1).coordinates(0, 8)
    assert torch.allclose(one, two, atol=1e-3)
    assert one.abs().max() > 0.1
