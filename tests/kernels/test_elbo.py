"""Likelihoods and KL divergences: the fast twin against the readable one, and both against laws."""
# ruff: noqa: N802  # test vectors carry the names that they have in docs/semantics.md

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.distributions import Normal

from vaeopt.kernels.elbo import fast, reference

LIKELIHOODS = ["bernoulli", "continuous-bernoulli", "gaussian"]
# Near 0 the continuous Bernoulli switches to a series, on both sides of which values must agree.
LOGITS = np.array(
    [-15.0, -3.0, -0.3, -0.02, -4.1e-3, -3.9e-3, -1e-5, 0.0, 1e-5, 3.9e-3, 4.1e-3, 0.7, 12]
)
T11_PIXELS, T11_MEANS = np.array([0, 0.25, 0.5, 1]), np.array([0.1, 0.3, 0.4, 0.9])


def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every logit with pixels from black to white."""
    logits, pixels = np.meshgrid(LOGITS, [0.0, 0.1, 0.5, 0.93, 1.0])
    return pixels, logits


def _mean(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logits)))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-8), (torch.float32, 2e-5)])
def test_fast_and_reference_nll_agree(likelihood: str, dtype: torch.dtype, rtol: float) -> None:
    pixels, logits = _grid()
    ours = fast.nll(
        torch.tensor(pixels, dtype=dtype),
        torch.tensor(logits, dtype=dtype),
        likelihood,
        gaussian_sd=0.3,
    )
    assert ours.dtype == dtype
    expected = reference.nll(pixels, _mean(logits), likelihood, gaussian_sd=0.3)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_gradients_of_fast_nll_are_the_slopes_of_the_reference(likelihood: str) -> None:
    pixels, logits = _grid()
    variable = torch.tensor(logits, requires_grad=True)
    total = fast.nll(torch.tensor(pixels), variable, likelihood, gaussian_sd=0.3).sum()
    (ours,) = torch.autograd.grad(total, variable)
    step = 1e-5

    def at(shifted: NDArray[np.float64]) -> NDArray[np.float64]:
        return reference.nll(pixels, _mean(shifted), likelihood, gaussian_sd=0.3)

    slope = (at(logits + step) - at(logits - step)) / (2 * step)
    np.testing.assert_allclose(ours.numpy(), slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_nll_of_no_patches_is_empty(likelihood: str) -> None:
    assert fast.nll(torch.zeros(0, 9), torch.zeros(0, 9), likelihood).shape == (0, 9)
    assert reference.nll(np.zeros((0, 9)), np.zeros((0, 9)), likelihood).shape == (0, 9)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_nll_of_a_batch_is_that_of_its_patches(likelihood: str) -> None:
    rng = np.random.default_rng(0)
    pixels, logits = torch.tensor(rng.random((6, 9))), torch.tensor(rng.normal(size=(6, 9)))
    together = fast.nll(pixels, logits, likelihood)
    for i in range(6):
        one = fast.nll(pixels[i : i + 1], logits[i : i + 1], likelihood)
        np.testing.assert_allclose(one[0].numpy(), together[i].numpy(), rtol=1e-14)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_fast_nll_stays_finite_for_a_decoder_that_is_sure(likelihood: str) -> None:
    logits = torch.tensor([-200.0, 200.0], requires_grad=True)
    value = fast.nll(torch.tensor([0.4, 0.4]), logits, likelihood)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("mean", [0.02, 0.3, 0.4999, 0.5, 0.5004, 0.77, 0.99])
def test_the_continuous_bernoulli_density_integrates_to_one(mean: float) -> None:
    x = np.linspace(0, 1, 20001)
    density = np.exp(-reference.nll(x, np.full_like(x, mean), "continuous-bernoulli"))
    assert np.trapezoid(density, x) == pytest.approx(1.0, abs=1e-6)


def test_the_gaussian_is_that_of_torch() -> None:
    pixels, logits = _grid()
    expected = -Normal(torch.tensor(_mean(logits)), 0.3).log_prob(torch.tensor(pixels))  # type: ignore[no-untyped-call]  # torch's stub
    ours = reference.nll(pixels, _mean(logits), "gaussian", gaussian_sd=0.3)
    np.testing.assert_allclose(ours, expected.numpy(), rtol=1e-12)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_no_decoder_gets_below_the_floor_and_the_best_one_reaches_it(likelihood: str) -> None:
    pixels = np.linspace(0, 1, 11)
    floor = reference.entropy_floor(pixels, likelihood, gaussian_sd=0.3)
    for mean in np.linspace(0.001, 0.999, 37):
        assert (
            reference.nll(pixels, np.full(11, mean), likelihood, gaussian_sd=0.3) >= floor
        ).all()
    perfect = reference.nll(pixels, pixels, likelihood, gaussian_sd=0.3)
    np.testing.assert_allclose(perfect, floor, atol=1e-12)


def test_the_floor_of_the_continuous_bernoulli_is_the_nll_at_the_pixel_itself() -> None:
    pixels = np.array([0.1, 0.5, 0.8])
    floor = reference.entropy_floor(pixels, "continuous-bernoulli")
    np.testing.assert_allclose(floor, reference.nll(pixels, pixels, "continuous-bernoulli"))
    assert np.isfinite(reference.entropy_floor([0.0, 1.0], "continuous-bernoulli")).all()


def test_T11_nll_of_grey_pixels() -> None:
    assert reference.nll(T11_PIXELS, T11_MEANS, "bernoulli").mean() == pytest.approx(
        0.373195, abs=1e-6
    )


def test_T11_floor_and_excess() -> None:
    floor = reference.entropy_floor(T11_PIXELS, "bernoulli").mean()
    nll = reference.nll(T11_PIXELS, T11_MEANS, "bernoulli").mean()
    assert floor == pytest.approx(0.313871, abs=1e-6)
    assert nll - floor == pytest.approx(0.059324, abs=1e-6)


def test_T11_gaussian_nll() -> None:
    nll = reference.nll(T11_PIXELS, T11_MEANS, "gaussian", gaussian_sd=0.1)
    assert nll.mean() == pytest.approx(-0.977397, abs=1e-6)


T8_MEANS, T8_SDS = np.array([0.5, -1.2, 0.01]), np.array([0.3, 0.8, 0.99])


def test_T8_kl_per_unit_and_its_sum() -> None:
    kl = reference.kl_gaussian(T8_MEANS, T8_SDS)
    np.testing.assert_allclose(kl, [0.873973, 0.763144, 0.000150], atol=1e-6)
    assert kl.sum() == pytest.approx(1.637266, abs=1e-6)


def test_T8_kl_against_a_narrow_prior() -> None:
    assert reference.kl_gaussian(0.4, 0.2, 0.1) == pytest.approx(8.806853, abs=1e-6)
    assert reference.kl_gaussian(0.4, 0.2) == pytest.approx(1.209438, abs=1e-6)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_fast_and_reference_kl_agree(dtype: torch.dtype, rtol: float) -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(5, 3)), rng.uniform(0.05, 2, (5, 3))
    ours = fast.kl_gaussian(torch.tensor(mean, dtype=dtype), torch.tensor(std, dtype=dtype), 0.7)
    np.testing.assert_allclose(
        ours.numpy(), reference.kl_gaussian(mean, std, 0.7), rtol=rtol, atol=rtol
    )


def test_gradients_of_kl_are_those_of_the_equation() -> None:
    mean = torch.tensor(T8_MEANS, requires_grad=True)
    std = torch.tensor(T8_SDS, requires_grad=True)
    by_mean, by_std = torch.autograd.grad(fast.kl_gaussian(mean, std, 0.7).sum(), (mean, std))
    np.testing.assert_allclose(by_mean.numpy(), T8_MEANS / 0.7**2, rtol=1e-12)
    np.testing.assert_allclose(by_std.numpy(), T8_SDS / 0.7**2 - 1 / T8_SDS, rtol=1e-12)


def test_kl_of_the_prior_itself_is_zero_and_positive_elsewhere() -> None:
    assert reference.kl_gaussian(0.0, 0.7, 0.7) == pytest.approx(0.0, abs=1e-15)
    mean, std = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(0.1, 2, 9))
    assert (reference.kl_gaussian(mean, std, 0.7) > 0).all()


def test_kl_of_no_patches_is_empty() -> None:
    assert fast.kl_gaussian(torch.zeros(0, 2), torch.ones(0, 2)).shape == (0, 2)


def test_the_sampled_kl_is_the_difference_of_two_log_densities() -> None:
    mean, std = torch.tensor(T8_MEANS), torch.tensor(T8_SDS)
    noise = torch.tensor([0.3, -1.4, 2.0], dtype=torch.float64)
    sample = mean + std * noise
    posterior, prior = Normal(mean, std), Normal(torch.zeros(3), torch.ones(3))
    expected = posterior.log_prob(sample) - prior.log_prob(sample)  # type: ignore[no-untyped-call]  # torch's stub
    np.testing.assert_allclose(
        fast.kl_sampled(sample, noise, std).numpy(), expected.numpy(), rtol=1e-6
    )


def test_the_sampled_kl_has_the_expectation_of_the_analytic_one() -> None:
    noise = torch.tensor(np.random.default_rng(0).standard_normal((200_000, 3)))
    mean, std = torch.tensor(T8_MEANS), torch.tensor(T8_SDS)
    sampled = fast.kl_sampled(mean + std * noise, noise, std).mean(0)
    np.testing.assert_allclose(sampled.numpy(), reference.kl_gaussian(T8_MEANS, T8_SDS), atol=0.01)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_fast_and_reference_floors_agree(likelihood: str) -> None:
    pixels = np.array([0.0, 1e-9, 0.1, 0.4999, 0.5, 0.501, 0.93, 1.0])
    ours = fast.entropy_floor(torch.tensor(pixels), likelihood, gaussian_sd=0.3)
    expected = reference.entropy_floor(pixels, likelihood, gaussian_sd=0.3)
    np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-12)
