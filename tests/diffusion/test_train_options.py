"""Accumulation, precision, compiling, conditions and C²OT."""

import pytest
import torch
from brenier.diffusion import MLP, EDMPrecond, SmallUNet, TrainResult, train_edm
from brenier.diffusion.feed import Feed, as_vectors
from brenier.diffusion.training import Settings, Training, levels
from brenier.engine.ranks import Ranks
from brenier.errors import InputError
from brenier.pair import PairedPool
from brenier.transport import IndependentCoupling, PooledCoupling

IMAGES = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 3


def train(**changes: object) -> TrainResult:
    options = {"steps": 6, "batch": 8, "pool": 16, "progress": False, "seed": 4} | changes
    classes = options.pop("classes", 0)
    return train_edm(MLP(6, 16, 1, seed=2, classes=classes), IMAGES, **options)


def weights(result: TrainResult) -> torch.Tensor:
    return torch.cat([value.flatten() for value in result.denoiser.parameters()])


def test_two_accumulated_halves_are_one_whole_batch() -> None:
    whole, halves = train(batch=16), train(batch=8, accumulate=2)
    torch.testing.assert_close(halves.losses, whole.losses, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(weights(halves), weights(whole), rtol=1e-4, atol=1e-5)


def test_a_level_belongs_to_its_pair_whatever_the_batch() -> None:
    settings = Settings(1, 1e-3, 0.9, -1.2, 1.2, 7, 1, "fp32", False)
    assert torch.equal(torch.cat([levels(settings, 0, 3), levels(settings, 3, 5)]), levels(settings, 0, 8))
    logs = levels(settings, 0, 20000).log()
    assert logs.mean().item() == pytest.approx(-1.2, abs=0.03)
    assert logs.std().item() == pytest.approx(1.2, abs=0.03)


def test_bf16_differs_a_little_and_keeps_weights_in_float32() -> None:
    exact, rough = train(), train(precision="bf16")
    assert not torch.equal(rough.losses, exact.losses)
    torch.testing.assert_close(rough.losses, exact.losses, rtol=0.05, atol=0.05)
    assert weights(rough).dtype == torch.float32


@pytest.mark.slow  # the compiler takes its time
def test_a_compiled_training_learns_the_same() -> None:
    torch.testing.assert_close(train(compile=True).losses, train().losses, rtol=1e-3, atol=1e-4)


def test_a_network_with_classes_learns_what_each_class_is() -> None:
    images = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).repeat(16, 1)
    labels = torch.arange(32) % 2
    result = train_edm(
        MLP(2, 64, 2, classes=2),
        images,
        condition=labels,
        steps=200,
        batch=32,
        lr=3e-3,
        P_mean=1.0,
        progress=False,
    )
    guess = result.denoiser(
        10 * torch.randn(32, 2, generator=torch.Generator().manual_seed(1)), torch.full((32,), 10.0), labels
    )
    assert (guess * images > 0).double().mean() > 0.95  # at σ = 10 the class alone can tell


def test_c2ot_leaves_the_noise_of_each_class_near_that_of_all() -> None:
    shifted = IMAGES + 8 * torch.nn.functional.one_hot(LABELS, 6)

    def leak(condition: torch.Tensor | None) -> float:
        pool = PairedPool(shifted, 40, 40, seed=1, condition=condition, epochs=8)
        made = list(pool)
        noise, index = (torch.cat([getattr(one, name) for one in made]) for name in ("noise", "index"))
        means = torch.stack([noise[LABELS[index] == k].mean(dim=0) for k in range(3)])
        return float((means - noise.mean(dim=0)).norm())

    assert leak(as_vectors(LABELS)) < 0.6 * leak(None)
    result = train(coupling="c2ot", condition=LABELS, classes=3, pool=40)
    assert result.coupling == "c2ot"
    assert result.pairing_seconds > 0


def test_unet_takes_labels_and_classes_change_no_other_weight() -> None:
    plain, told = SmallUNet(1, 4, 8, seed=3), SmallUNet(1, 4, 8, seed=3, classes=5)
    states = plain.state_dict(), told.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    x, level = torch.randn(2, 16), torch.zeros(2)
    assert told(x, level, torch.tensor([0, 4])).shape == (2, 16)
    with pytest.raises(InputError, match="labels"):
        told(x, level)
    with pytest.raises(InputError, match="labels"):
        plain(x, level, torch.tensor([0, 4]))


@pytest.mark.parametrize(
    "make", [lambda: IndependentCoupling(40, 6, 4, 7), lambda: PooledCoupling(PairedPool(IMAGES, 8, 4))]
)
def test_ranks_share_the_micro_batches_of_one_process(make) -> None:
    alone = Feed(make(), Ranks(0, 1))
    wanted = {batch.number: batch for batch in (alone.take() for _ in range(6))}
    if isinstance(make(), PooledCoupling):
        pytest.skip("a pool deals whole pools to ranks by itself: tests/pair/test_pool_ranks.py")
    for rank in (0, 1, 2):
        feed = Feed(make(), Ranks(rank, 3))
        for turn in (0, 1):
            found = feed.take()
            assert found.number == 3 * turn + rank
            assert torch.equal(found.noise, wanted[found.number].noise)
            assert torch.equal(found.rows, wanted[found.number].rows)
        assert feed.pairs.position == 6 * 4


@pytest.mark.parametrize(
    "changes",
    [
        {"accumulate": 0},
        {"precision": "fp16"},
        {"ema": 1.0},
        {"coupling": "c2ot"},
        {"condition": LABELS[:-1]},
        {"condition": LABELS},  # the network has no classes
        {"condition": torch.full((40, 2), torch.nan)},
    ],
)
def test_unusable_options_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        train(**changes)


def test_what_is_returned_is_the_average_of_the_weights_after_every_step() -> None:
    settings = Settings(5, 1e-2, 0.3, -1.2, 1.2, 4, 1, "fp32", False)
    training = Training(EDMPrecond(MLP(6, 16, 1, seed=2)), settings, Ranks())
    feed = Feed(IndependentCoupling(40, 6, 8, 4), Ranks())
    expected = [value.detach().clone() for value in training.denoiser.parameters()]
    for step in range(5):
        batch = feed.take()
        training.step([(batch, IMAGES[batch.rows], None)])
        decay = min(0.3, (1 + step) / (10 + step))
        weights = [value.detach() for value in training.denoiser.parameters()]
        expected = [decay * old + (1 - decay) * new for old, new in zip(expected, weights, strict=True)]
    for kept, wanted in zip(training.average.parameters(), expected, strict=True):
        torch.testing.assert_close(kept, wanted)
    result = train(lr=1e-2, ema=0.3, steps=5, sigma_data=0.5)
    for mine, wanted in zip(result.denoiser.parameters(), expected, strict=True):
        torch.testing.assert_close(mine, wanted)
