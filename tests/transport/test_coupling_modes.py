"""Couplings in subspaces, balanced and by ranks: right pairs, the margins they promise, the same bits resumed."""

import json
from itertools import islice

import brenier
import numpy as np
import pytest
import torch
from brenier import Coupling, Potential
from brenier.data import ArraySource
from brenier.engine.ranks import Ranks
from brenier.errors import InputError
from brenier.solve import StreamedPotential, fitting
from brenier.transport import coupling
from helpers import known_answers as problems
from torch import Tensor

TARGETS = problems.image_like(150, 40)


@pytest.fixture(scope="module")
def potential() -> Potential:
    return brenier.fit(TARGETS, tol=0.05, progress=False).potential


@pytest.fixture(scope="module")
def streamed() -> StreamedPotential:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "must_stream", lambda *_: True)
        found = brenier.fit(ArraySource(TARGETS), tol=0.05, progress=False).potential
    assert isinstance(found, StreamedPotential)
    return found


def drawn(pairs: Coupling, batches: int) -> tuple[Tensor, Tensor]:
    made = list(islice(pairs, batches))
    return torch.cat([x for x, _ in made]), torch.cat([index for _, index in made])


def test_pairs_of_subspaces_are_normal_noise_with_its_winner(potential: Potential) -> None:
    pairs = Coupling(potential, 64, subspace=16)
    x, index = drawn(pairs, 80)
    assert (index == potential.assign(x)).float().mean() > 0.999
    moments = x.mean(0), x.T.cov()
    assert moments[0].abs().max() < 0.12
    assert (moments[1] - torch.eye(40)).abs().max() < 0.25
    assert len(torch.unique(x[:, 0])) == len(x)


def test_a_micro_batch_mixes_the_subspaces_of_a_pass(potential: Potential) -> None:
    pairs = Coupling(potential, 64, subspace=16)
    slots = pairs.pairs.order.take(0, 64)
    assert len(torch.unique(slots // pairs.pairs.each)) == 8


def test_subspaces_of_streamed_targets_give_the_pairs_of_those_in_memory(
    streamed: StreamedPotential,
) -> None:
    held = Potential.of(TARGETS, streamed.heights)
    for one, other in zip(
        drawn(Coupling(streamed, 32, subspace=8), 5), drawn(Coupling(held, 32, subspace=8), 5), strict=True
    ):
        assert torch.equal(one, other)


def test_a_streamed_potential_couples_and_reads_its_targets_once_for_many_batches(
    streamed: StreamedPotential,
) -> None:
    before = streamed.streamed.traffic.passes
    x, index = drawn(Coupling(streamed, 16, ahead=10), 10)
    assert streamed.streamed.traffic.passes == before + 1
    for one, other in zip((x, index), drawn(Coupling(streamed, 16), 10), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(index, streamed.assign(x))


def test_balanced_pairs_stay_near_their_masses_where_plain_ones_stray(potential: Potential) -> None:
    plain, level = (drawn(Coupling(potential, 50, balance=strength), 300)[1] for strength in (0.0, 0.5))
    strayed, stayed = (
        (torch.bincount(index, minlength=150) - 100.0).abs() for index in (plain, level)
    )  # 100 times each
    assert strayed.max() > 20
    assert stayed.max() < 12
    assert stayed.square().mean() < 0.1 * strayed.square().mean()


def test_balancing_costs_little(potential: Potential) -> None:
    costs = []
    for strength in (0.0, 0.5):
        x, index = drawn(Coupling(potential, 50, balance=strength), 100)
        costs.append(float((x - TARGETS[index]).square().sum(1).mean()))
    independent = float((x - TARGETS[torch.arange(len(x)) % 150]).square().sum(1).mean())
    assert costs[1] - costs[0] < 0.1 * (independent - costs[0])


@pytest.mark.parametrize(
    "options", [{"subspace": 8}, {"balance": 0.5}, {"balance": 0.5, "ahead": 4}, {"ahead": 3}]
)
@pytest.mark.parametrize("at", [1, 4, 6])
def test_a_resumed_coupling_continues_with_the_same_bits(
    potential: Potential, options: dict[str, float], at: int
) -> None:
    unbroken, stopped, resumed = (Coupling(potential, 32, 7, **options) for _ in range(3))
    drawn(unbroken, at)
    drawn(stopped, at)
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    for one, other in zip(drawn(unbroken, 9), drawn(resumed, 9), strict=True):
        assert torch.equal(one, other)


def test_states_of_another_kind_are_refused(potential: Potential) -> None:
    level = Coupling(potential, 32, balance=0.5)
    for other in (Coupling(potential, 32), Coupling(potential, 32, subspace=8)):
        with pytest.raises(InputError, match="state"):
            level.load_state_dict(other.state_dict())
        with pytest.raises(InputError, match="state"):
            other.load_state_dict(level.state_dict())
    for counts in ([1] * 149, [-1] * 150, [0.5] * 150, "a"):
        with pytest.raises(InputError, match="state"):
            level.load_state_dict(level.state_dict() | {"counts": counts})


def test_ranks_in_turn_have_the_micro_batches_of_one_process(
    potential: Potential, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = drawn(Coupling(potential, 8), 6)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(coupling, "this_rank", lambda rank=rank: Ranks(rank, 2))
        parts.append(drawn(Coupling(potential, 8), 3))
        alone = drawn(Coupling(potential, 8, ranks=False), 6)
        assert torch.equal(alone[0], whole[0])
    for k in (0, 1):
        turns = [part[k].split(8) for part in parts]
        assert torch.equal(torch.cat([row for pair in zip(*turns, strict=True) for row in pair]), whole[k])


def test_ranks_draw_subspaces_of_their_own(potential: Potential, monkeypatch: pytest.MonkeyPatch) -> None:
    firsts = []
    for rank in range(2):
        monkeypatch.setattr(coupling, "this_rank", lambda rank=rank: Ranks(rank, 2))
        pairs = Coupling(potential, 8, subspace=8)
        next(pairs)
        firsts.append(pairs.pairs._pass.number)
    assert firsts == [0, 1]


def test_counts_of_a_subspace_vary_no_more_than_the_model_says(potential: Potential) -> None:
    """Σ Var of the wins of one subspace's K pairs, against K independent ones: at most 1 + c(n) K/(n m)."""
    pairs = Coupling(potential, 64, subspace=16)
    each, wins = pairs.pairs.each, []
    for number in range(40):
        found = pairs.pairs.made(number).indices
        wins += [torch.bincount(one, minlength=150) for one in found.split(each)]
    counts = torch.stack(wins).double()
    shares = counts.mean(0) / each
    inflation = float(counts.var(0).sum() / (each * (shares * (1 - shares)).sum()))
    assert 0.9 < inflation < 2.5


@pytest.mark.parametrize(
    "options",
    [{"subspace": 0}, {"subspace": 513}, {"subspace": 8, "balance": 0.5}, {"balance": -1.0}, {"ahead": 0}],
)
def test_options_that_make_no_sense_are_refused(potential: Potential, options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Coupling(potential, 8, **options)


def test_subspaces_and_balance_need_a_potential() -> None:
    class Best:
        targets = TARGETS

        def assign(self, x: Tensor) -> Tensor:
            return (x @ TARGETS.T).argmax(1)

    for options in ({"subspace": 8}, {"balance": 0.5}):
        with pytest.raises(InputError, match="Potential"):
            Coupling(Best(), 8, **options)
    levels = brenier.fit_hierarchical(TARGETS, parts=np.arange(150) % 5, tol=0.3, progress=False).potential
    with pytest.raises(InputError, match="one level"):
        Coupling(levels, 8, subspace=8)
    assert drawn(Coupling(levels, 8), 2)[1].shape == (16,)
