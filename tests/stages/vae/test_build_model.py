"""New models depend on their seed only."""

from concurrent.futures import ThreadPoolExecutor

import torch

from vaeopt.stages.vae.model import build
from vaeopt.stages.vae.settings import VaeSettings


def test_threads_that_build_models_at_once_draw_their_own_weights() -> None:
    settings = VaeSettings(width=16, invariances=())

    def first_weight(seed: int) -> float:
        return float(next(build(settings, 5, seed=seed).parameters()).detach().sum())

    expected = [first_weight(seed) for seed in range(200)]
    before = torch.random.get_rng_state()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(first_weight, range(200))) == expected
    assert torch.equal(torch.random.get_rng_state(), before)
