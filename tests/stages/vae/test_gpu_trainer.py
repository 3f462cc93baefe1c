"""The trainer of the Triton kernels: who gets it, what it learns, and when it is not trusted."""

import gc
import logging
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed")

from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Patches
from vaeopt.kernels.training import gpu
from vaeopt.kernels.training.gpu import program as program_module
from vaeopt.stages.vae import VaeSettings
from vaeopt.stages.vae.train import Request, train_many
from vaeopt.stages.vae.trainers import (
    EagerTrainer,
    GpuTrainer,
    Job,
    choose,
    choose_trainer,
    stack_key,
    trained_by,
    trust,
)
from vaeopt.stages.vae.trainers import gpu as gpu_trainer

SEEDS = tuple(Seeds(0, number) for number in range(3))
CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")
interpreted = pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels are compiled here")


def _settings(**table: Any) -> VaeSettings:
    small = {"width": 12, "depth": 1, "epochs": 3, "batch_size": 10, "learning_rate": 1e-2}
    return VaeSettings(**{**small, "device": "cpu", "engine": "triton", "kl_scale": 0.1, **table})


def _job(patches: Patches, settings: VaeSettings, *, edge: int = 7, seeds: int = 1) -> Job:
    inner = patches.pixels[:, :edge, :edge].reshape(len(patches), -1)
    return Job(settings, torch.tensor(inner), edge, SEEDS[:seeds])


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been looked at, nothing has been said."""
    monkeypatch.setattr(trust, "_known", {})
    gpu_trainer._say_once.cache_clear()


@interpreted
def test_jobs_of_different_trials_learn_what_each_learns_alone(patches: Patches) -> None:
    jobs = [
        _job(patches, _settings(invariances="rotation"), seeds=2),
        _job(patches, _settings(invariances="rotation+translation", latent_dim=1), edge=5),
    ]
    assert len({stack_key(job) for job in jobs}) == 1
    trainer = choose_trainer(jobs)
    assert isinstance(trainer, GpuTrainer)
    alone = [EagerTrainer(job) for job in jobs]
    for members, rate in (([0, 1, 2], 1e-2), ([0, 1, 2], 3e-3), ([0, 2], 1e-3), ([2], 1e-3)):
        found = trainer.epoch(members, rate)
        own = [member for member in members if member < 2]
        expected = alone[0].epoch(own, rate) if own else []
        np.testing.assert_allclose(found, expected + alone[1].epoch([0], rate), rtol=1e-5)
        kept = {member: trainer.weights(member) for member in members}
        for member in members:
            wanted = alone[0].weights(member) if member < 2 else alone[1].weights(0)
            for name, weight in wanted.items():
                torch.testing.assert_close(kept[member][name], weight, atol=2e-5, rtol=0)


@interpreted
def test_requests_are_trained_in_one_trainer(
    patches: Patches, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    program = program_module.Program

    def counted(members: Any, **words: Any) -> Any:
        made.append(len(members))
        return program(members, **words)

    monkeypatch.setattr(program_module, "Program", counted)
    tables: list[dict[str, Any]] = [
        {"invariances": "none"},
        {"invariances": "rotation"},
        {"latent_dim": 1},
    ]
    requests = [
        Request(settings=_settings(**table), patches=patches, seeds=SEEDS[:1]) for table in tables
    ]
    found = train_many(requests)
    assert sorted(made) == [1, 2]  # the vanilla one alone
    for request, (vae,) in zip(requests, found, strict=True):
        plain = request.settings.model_copy(update={"engine": "reference"})
        ((expected,),) = train_many([Request(settings=plain, patches=patches, seeds=SEEDS[:1])])
        np.testing.assert_allclose(vae.loss_nats, expected.loss_nats, rtol=1e-5)
        for name, weight in expected.weights.items():
            np.testing.assert_allclose(vae.weights[name], weight, atol=2e-5)


def test_what_must_be_equal_in_a_trainer(patches: Patches) -> None:
    key = stack_key(_job(patches, _settings()))
    assert key is not None
    for own in ({"latent_dim": 3}, {"kl_scale": 0.3}, {"prior_sd": {"rotation": 2.0}}):
        assert stack_key(_job(patches, _settings(**own))) == key
    assert stack_key(_job(patches, _settings(), edge=5, seeds=3)) == key
    for other in ({"epochs": 4}, {"width": 8}, {"learning_rate": 0.1}, {"invariances": "none"}):
        assert stack_key(_job(patches, _settings(**other))) != key
    few = _job(patches, _settings())
    assert stack_key(Job(few.settings, few.data[:5], few.size_px, few.seeds)) != key


def test_the_processor_never_chooses_the_interpreter(patches: Patches) -> None:
    job = _job(patches, _settings(engine="auto"))
    assert not GpuTrainer.runs(job.settings, 7, CPU)
    assert stack_key(job) is None
    assert not isinstance(choose_trainer([job]), GpuTrainer)


@pytest.mark.usefixtures("unknown")
def test_without_triton_torch_trains_and_the_log_says_so(
    patches: Patches, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gpu, "_has_triton", lambda: False)
    job = _job(patches, _settings())
    with caplog.at_level(logging.WARNING):
        trainer = choose_trainer([job])
        choose_trainer([job])
    assert not isinstance(trainer, GpuTrainer)
    assert [record.getMessage() for record in caplog.records] == [
        "engine 'triton' cannot run, 'fast' does: Triton is not installed"
    ]
    assert np.isfinite(trainer.epoch([0], 1e-2)).all()


@interpreted
@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("invariances", ["none", "rotation+translation"])
def test_kernels_that_compute_what_torch_computes_are_trusted(
    patches: Patches, invariances: str, caplog: pytest.LogCaptureFixture
) -> None:
    job = _job(patches, _settings(invariances=invariances))
    before = {name: value.clone() for name, value in GpuTrainer(job).weights(0).items()}
    assert trust.trusts(job)
    assert not caplog.records
    for name, value in GpuTrainer(job).weights(0).items():  # nothing of it is left
        assert torch.equal(value, before[name])


@interpreted
@pytest.mark.usefixtures("unknown")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, which interprets
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_bf16_products_are_within_what_is_trusted(patches: Patches, precision: str) -> None:
    settings = _settings(invariances="rotation", precision=precision, depth=2, width=16)
    assert trust.trusts(_job(patches, settings))


@interpreted
@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("crash", "RuntimeError: PTX of this kind is not known"),
        ("loss", "where torch finds"),
        ("frozen", "cosine 0.000"),
        ("backwards", "weights go another way"),
    ],
)
def test_kernels_that_do_not_are_not_used(
    patches: Patches,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    words: str,
) -> None:
    train, weights = GpuTrainer.epoch, GpuTrainer.weights

    def epoch(self: GpuTrainer, members: Any, learning_rate: float) -> list[float]:
        if fault == "crash":
            raise RuntimeError("PTX of this kind is not known\nand more lines")
        rate = {"frozen": 0.0, "backwards": -1e-5}.get(fault, learning_rate)
        factor = 1.1 if fault == "loss" else 1.0
        return [factor * loss for loss in train(self, members, rate)]

    monkeypatch.setattr(GpuTrainer, "epoch", epoch)
    # So small that losses do not tell whether weights go.
    monkeypatch.setattr(trust, "_RATE", 1e-5)
    job = _job(patches, _settings())
    assert not trust.trusts(job)
    assert not trust.trusts(job)
    (record,) = caplog.records  # said once, looked at once
    assert "Triton's kernels are not used, torch operations are" in record.getMessage()
    assert words in record.getMessage()
    assert weights is GpuTrainer.weights


@interpreted
@pytest.mark.usefixtures("unknown")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, which interprets
@pytest.mark.parametrize("learning_rate", [1e-12, 1e30])
def test_trust_does_not_depend_on_the_learning_rate(patches: Patches, learning_rate: float) -> None:
    assert trust.trusts(_job(patches, _settings(learning_rate=learning_rate)))


@interpreted
@pytest.mark.usefixtures("unknown")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("fault", ["memory", "data"])
def test_what_cannot_be_told_is_looked_at_again(
    patches: Patches, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    job = _job(patches, _settings())
    with monkeypatch.context() as broken:
        if fault == "memory":

            def full(*_: Any) -> None:
                raise torch.OutOfMemoryError("none left")

            broken.setattr(trust, "GpuTrainer", full)
            assert not trust.trusts(job)
        else:
            useless = torch.full_like(job.data, torch.nan)
            assert not trust.trusts(replace(job, data=useless))
    assert trust.trusts(job)


@interpreted
@pytest.mark.usefixtures("unknown")
def test_a_loss_near_zero_is_compared_by_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found with bf16 products: continuous-bernoulli, 40 px, width 16; both ways are the same."""
    found = {GpuTrainer: [14.848, -8.534], EagerTrainer: [15.093, -8.124]}
    monkeypatch.setattr(trust, "_trained", lambda trainer: (found[type(trainer)], torch.ones(2)))
    settings = _settings(likelihood="continuous-bernoulli")
    assert trust.trusts(Job(settings, torch.zeros(2, 1600), 40, SEEDS[:1]))
    monkeypatch.setattr(trust, "_known", {})
    assert not trust.trusts(Job(settings, torch.zeros(2, 25), 5, SEEDS[:1]))


@interpreted
@pytest.mark.usefixtures("unknown")
def test_a_look_needs_no_more_memory_for_large_batches(
    patches: Patches, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []

    def noted(job: Job) -> EagerTrainer:
        seen.append((job.settings.batch_size, len(job.data)))
        return EagerTrainer(job)

    monkeypatch.setattr(trust, "EagerTrainer", noted)
    monkeypatch.setattr(trust, "_VALUES", 18 * 12 * 49)
    assert trust.trusts(_job(patches, _settings(batch_size=1024)))
    assert seen == [(18, len(patches))]


@interpreted
def test_a_trainer_that_nobody_needs_gives_its_memory_back_at_once(patches: Patches) -> None:
    trainer = GpuTrainer(_job(patches, _settings()))
    trainer.epoch([0], 1e-2)
    program = weakref.ref(trainer._program)
    gc.collect()
    gc.disable()
    try:
        thread = trainer._thread
        del trainer
        thread.shutdown()  # it draws the next epoch, and holds the trainer meanwhile
        assert program() is None
    finally:
        gc.enable()


@interpreted
def test_more_pixels_than_the_kernels_can_count_go_elsewhere() -> None:
    few, many = (torch.zeros(1, 1).expand(n, 1) for n in (20, 2**31))
    settings = _settings(invariances="none")
    assert stack_key(Job(settings, few, 1, SEEDS[:1])) is not None
    assert stack_key(Job(settings, many, 1, SEEDS[:1])) is None


def test_memory_that_torch_holds_back_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a training would be slower because there was one before."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (10, 100))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 20)
    assert choose._free_bytes(CUDA) == 60


def test_settings_without_kernels_go_elsewhere() -> None:
    assert not GpuTrainer.runs(_settings(depth=3), 7, CPU)
    assert not GpuTrainer.runs(_settings(width=200), 7, CPU)
    assert not GpuTrainer.runs(_settings(engine="fast"), 7, CPU)
    # Float32 products at full width have no room on any GPU; bf16 ones do.
    assert not GpuTrainer.runs(_settings(width=128), 7, CPU)
    assert GpuTrainer.runs(_settings(width=128, precision="bf16"), 7, CPU) == gpu.interprets()


@interpreted
def test_what_has_trained_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = {"engine": "triton", "width": 128, "precision": "bf16"}
    assert trained_by(_settings(**kernels), 7, CPU) == ("triton", "bf16")
    assert trained_by(_settings(**{**kernels, "depth": 3}), 7, CPU) == ("torch", "bf16")
    assert trained_by(_settings(engine="reference", precision="bf16"), 7, CPU)[0] == "torch"
    # On a GPU only where they have been found right.
    monkeypatch.setattr(trust, "_known", {})
    settings = _settings(engine="auto", precision="auto", device="cuda")
    assert trained_by(settings, 7, CUDA) == ("torch", "bf16")
    trust._known[trust._kind(settings, CUDA)] = True
    assert trained_by(settings, 7, CUDA) == ("triton", "bf16")


@pytest.mark.gpu
@pytest.mark.usefixtures("unknown")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
@pytest.mark.parametrize("invariances", ["none", "rotation+translation+scale"])
def test_a_gpu_learns_what_a_processor_learns(
    patches: Patches, invariances: str, likelihood: str, depth: int, precision: str
) -> None:
    """Losses of fifteen epochs: three replays and more of the recorded one."""
    table = {"invariances": invariances, "likelihood": likelihood, "depth": depth, "width": 64}
    settings = _settings(**table, learning_rate=2e-3, pixels=0.5)
    own = settings.model_copy(update={"precision": precision, "engine": "auto", "device": "cuda"})
    job = _job(patches, own, seeds=3)
    other = _job(patches, own.model_copy(update={"latent_dim": 1}), edge=5)
    jobs = [Job(j.settings, j.data.to(CUDA), j.size_px, j.seeds) for j in (job, other)]
    trainer = choose_trainer(jobs)
    assert isinstance(trainer, GpuTrainer)
    plain = {"engine": "fast", "precision": "float32", "device": "cpu"}
    alone = [
        EagerTrainer(Job(j.settings.model_copy(update=plain), j.data, j.size_px, j.seeds))
        for j in (job, other)
    ]
    found, expected = [], []
    for _ in range(15):
        found.append(trainer.epoch([0, 1, 2, 3], 2e-3))
        expected.append(alone[0].epoch([0, 1, 2], 2e-3) + alone[1].epoch([0], 2e-3))
    drop = np.ptp(expected)
    tolerance = 0.02 if precision == "bf16" else 0.005
    np.testing.assert_allclose(found, expected, atol=tolerance * drop, rtol=0)
