"""Identities of EDM's preconditioning and loss."""

import math

import pytest
import torch
from brenier.diffusion import EDMPrecond, draw_sigma, edm_loss
from brenier.errors import InputError
from torch import Tensor, nn


class Recorder(nn.Module):
    """A network that answers a constant and keeps what it was given."""

    def __init__(self, answer: float) -> None:
        super().__init__()
        self.answer, self.seen = answer, []

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        self.seen.append((x, c_noise))
        return torch.full_like(x, self.answer)


def test_the_denoiser_is_the_stated_combination() -> None:
    network = Recorder(1.0)
    x, sigma = (
        torch.randn(4, 3, dtype=torch.float64),
        torch.tensor([0.01, 0.5, 3.0, 80.0], dtype=torch.float64),
    )
    denoised = EDMPrecond(network, 0.5)(x, sigma)
    total = sigma**2 + 0.25
    expected = (0.25 / total)[:, None] * x + (sigma * 0.5 / total.sqrt())[:, None]
    torch.testing.assert_close(denoised, expected)
    seen, c_noise = network.seen[0]
    torch.testing.assert_close(seen, x / total.sqrt()[:, None])
    torch.testing.assert_close(c_noise, sigma.log() / 4)


def test_inputs_and_training_targets_have_unit_variance_at_every_level() -> None:
    sigma = torch.tensor([0.002, 0.1, 0.5, 5.0, 80.0], dtype=torch.float64)
    skip, out, scale, _ = EDMPrecond(nn.Identity(), 0.7).coefficients(sigma)
    torch.testing.assert_close(scale**2 * (0.49 + sigma**2), torch.ones_like(sigma))
    # Var[(y − c_skip(y + σε))/c_out] = 1 (Karras et al. 2022, appendix B.6)
    variance = (1 - skip) ** 2 * 0.49 + skip**2 * sigma**2
    torch.testing.assert_close(variance / out**2, torch.ones_like(sigma))


def test_zero_noise_is_the_identity_whatever_the_network_says() -> None:
    x = torch.randn(2, 1, 4, 4)
    assert torch.equal(EDMPrecond(Recorder(9.0), 0.5)(x, 0.0), x)


def test_a_number_and_a_vector_of_levels_agree_on_images() -> None:
    x, denoiser = torch.randn(3, 2, 4, 4), EDMPrecond(Recorder(0.3), 0.5)
    torch.testing.assert_close(denoiser(x, 2.0), denoiser(x, torch.full((3,), 2.0)))


@pytest.mark.parametrize("sigma_data", [0.0, -1.0, math.nan, math.inf])
def test_an_unusable_sigma_data_is_refused(sigma_data: float) -> None:
    with pytest.raises(InputError, match="sigma_data"):
        EDMPrecond(nn.Identity(), sigma_data)


def test_an_untrained_network_has_loss_one() -> None:
    generator = torch.Generator().manual_seed(0)
    images = 0.5 * torch.randn(4096, 16, generator=generator)
    noise = torch.randn(4096, 16, generator=generator)
    loss = edm_loss(EDMPrecond(Recorder(0.0), 0.5), images, noise, draw_sigma(4096, generator=generator))
    assert loss.item() == pytest.approx(1.0, abs=0.02)


def test_a_perfect_denoiser_has_loss_zero() -> None:
    images = torch.randn(5, 3)
    perfect = EDMPrecond(Recorder(0.0), 0.5)
    perfect.forward = lambda _x, _sigma: images  # type: ignore[method-assign]
    assert edm_loss(perfect, images, torch.randn(5, 3), torch.ones(5)) == 0


def test_levels_are_log_normal_and_follow_their_generator() -> None:
    levels = [draw_sigma(20_000, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*levels)
    assert levels[0].log().mean().item() == pytest.approx(-1.2, abs=0.03)
    assert levels[0].log().std().item() == pytest.approx(1.2, abs=0.03)


def test_shapes_that_do_not_match_are_refused() -> None:
    denoiser = EDMPrecond(Recorder(0.0), 0.5)
    with pytest.raises(InputError, match="images, noise and sigma"):
        edm_loss(denoiser, torch.zeros(2, 3), torch.zeros(2, 4), torch.ones(2))
    with pytest.raises(InputError, match="images, noise and sigma"):
        edm_loss(denoiser, torch.zeros(2, 3), torch.zeros(2, 3), torch.ones(3))
