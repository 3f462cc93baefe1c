"""Compiled kernels where the system has no more threads."""

import shutil
import subprocess
import sys

import pytest

from vaeopt.kernels.native import build as native_build

pytestmark = [
    pytest.mark.skipif(
        not any(map(shutil.which, native_build._COMPILERS)), reason="there is no C++ compiler"
    ),
    pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as on Linux"),
]

# In a process of its own, which is left without room for more than four stacks.
_LIMIT = """
import pathlib, resource, threading
import torch
def limit():
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * 2**23, resource.RLIM_INFINITY))
"""

_TRAINER = """
from vaeopt.kernels import training
recipe = training.Recipe(
    n_pixels=4, width=1, depth=1, latent_dim=1, likelihood="bernoulli", gaussian_sd=0.5,
    kl_weight=0.0, kl_sampled=False, batch_size=40,
)
shapes = {
    "hidden": (1, 4), "mean": (1, 1), "std": (1, 1), "decoder": (1, 1), "pixels": (4, 1)
}
weights = {}
for name, shape in shapes.items():
    weights[name] = torch.ones(shape)
    weights[name + ".bias"] = torch.ones(shape[0])
member = training.Member(recipe, weights)
def train(threads):
    training.train(
        recipe, [member], torch.rand(40, 4), [torch.arange(40)], [torch.randn(40, 1)], [None],
        learning_rate=1e-3, threads=threads,
    )
train(1)
limit()
try:
    train(16)
except MemoryError as error:
    print(error, member.steps)
train(1)
print(member.steps)
"""

_DECODER = """
from vaeopt.kernels.decoder import spatial_nll
def loss(threads):
    one = torch.ones(1, 1)
    return spatial_nll(
        torch.ones(40, 1, 2), torch.ones(40, 1), [(one, one[0])], (one, one[0]), torch.ones(4, 2),
        torch.ones(40, 4), engine="native", threads=threads,
    ).total.item()
expected = loss(1)
limit()
print(loss(16) == expected)
"""


def _output(script: str) -> str:
    command = [sys.executable, "-c", _LIMIT + script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_training_that_gets_no_threads_is_an_error_and_not_the_end() -> None:
    assert _output(_TRAINER) == "no memory or no threads for a training step 1\n2\n"


def test_a_loss_is_found_by_as_many_threads_as_there_are() -> None:
    assert _output(_DECODER) == "True\n"
