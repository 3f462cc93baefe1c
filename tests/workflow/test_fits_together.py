"""Mixtures of runs that trained together: one batch per settings, and each fails alone."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from tests.stages.vae.test_train_together import Device
from vaeopt.core.seeds import Seeds
from vaeopt.core.types import Micrograph, Mixture, WorkflowRun
from vaeopt.stages.mixture import FitRequest
from vaeopt.stages.mixture.bgmm import Bgmm
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.workflow import Workflow, comparison_for, scores_of, walk, walk_many
from vaeopt.workflow import fits as module
from vaeopt.workflow.fits import Fit, fit_all

SEEDS = [Seeds(0, number) for number in range(4)]


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Kind and size of every batch of several fits."""
    seen: list[tuple[str, int]] = []
    for model in (Gmm, Bgmm):
        fit_many = model.fit_many

        def noted(
            self: Any, requests: Sequence[FitRequest], fit_many: Any = fit_many
        ) -> list[Mixture]:
            seen.append((self.kind, len(requests)))
            found: list[Mixture] = fit_many(self, requests)
            return found

        monkeypatch.setattr(model, "fit_many", noted)
    return seen


@pytest.fixture
def stacked(monkeypatch: pytest.MonkeyPatch) -> Device:
    """A device that trains equal numbers of latents together."""
    made, loop = Device(), import_module("vaeopt.stages.vae.train")
    monkeypatch.setattr(loop, "stack_key", made.key)
    monkeypatch.setattr(loop, "choose_trainer", made.trainer)
    return made


@pytest.fixture
def workflows(workflow: Workflow) -> list[Workflow]:
    """Three that train together, and between them one that trains alone."""
    base = workflow.with_values(
        {
            "vae.invariances": (),
            "mixture.subsets": 2,
            "bayesian": {"kind": "bgmm", "max_components": 4, "steps": 30, "elbo_draws": 4},
            "scores": [{"kind": "elbo"}, {"kind": "rotation-ami", "components": 3}],
        }
    )
    return [
        base.with_values({"replicates": 2}),
        base.with_values({"vae.invariances": ("rotation",)}),
        base.with_values({"mixture.components": (1, 2), "scores": ["elbo"]}),
        base.with_values({"patches.size_px": 5}),
    ]


def _walked(
    workflows: list[Workflow], micrograph: Micrograph, **others: Any
) -> Iterator[WorkflowRun | Exception]:
    return walk_many(
        workflows,
        micrograph,
        comparison=comparison_for(workflows[0], 49, windows_px=(5, 7)),
        seeds=SEEDS[: len(workflows)],
        **others,
    )


def _alone(workflows: list[Workflow], i: int, micrograph: Micrograph) -> WorkflowRun:
    comparison = comparison_for(workflows[0], 49, windows_px=(5, 7))
    return walk(workflows[i], micrograph, comparison=comparison, seeds=SEEDS[i])


def _assert_equal(run: object, alone: WorkflowRun, workflow: Workflow) -> None:
    assert isinstance(run, WorkflowRun)
    assert scores_of(workflow, run) == scores_of(workflow, alone)
    for ours, theirs in zip(run.members, alone.members, strict=True):
        assert ours.collapse == theirs.collapse
        assert ours.seconds.keys() == theirs.seconds.keys()
        for mine, its in zip(
            (ours.mixture, *ours.resampled), (theirs.mixture, *theirs.resampled), strict=True
        ):
            np.testing.assert_array_equal(mine.responsibilities, its.responsibilities)


@pytest.mark.usefixtures("stacked")
def test_what_trained_together_is_fitted_together_and_is_what_it_would_be_alone(
    workflows: list[Workflow], micrograph: Micrograph, batches: list[tuple[str, int]]
) -> None:
    groups: list[list[int]] = []
    runs = _walked(workflows, micrograph, on_group=lambda numbers: groups.append(list(numbers)))
    found = [next(runs)]
    assert groups == [[0, 2, 3]]
    # Two trainings and one, two subsets each; other components stand apart; four trainings.
    assert batches == [("gmm", 6), ("gmm", 2), ("bgmm", 4)]
    found += runs
    assert groups == [[0, 2, 3], [1]]
    assert batches[3:] == [("gmm", 2)], "one fit is no batch"
    for i, run in enumerate(found):
        _assert_equal(run, _alone(workflows, i, micrograph), workflows[i])


@pytest.mark.usefixtures("stacked")
def test_the_time_of_a_batch_is_shared_out(
    workflows: list[Workflow], micrograph: Micrograph
) -> None:
    workflows[2] = workflows[3]
    first, _, *others = [
        run for run in _walked(workflows, micrograph) if isinstance(run, WorkflowRun)
    ]
    for stage in ("vae", "mixture", "bayesian"):
        each = {member.seconds[stage] for run in (first, *others) for member in run.members}
        assert min(each) == pytest.approx(max(each))
        assert min(each) > 0


def test_on_a_processor_every_run_is_fitted_before_the_next_trains(
    workflows: list[Workflow], micrograph: Micrograph, batches: list[tuple[str, int]]
) -> None:
    groups: list[list[int]] = []
    runs = _walked(workflows, micrograph, on_group=lambda numbers: groups.append(list(numbers)))
    next(runs)
    assert groups == [[0]]
    assert batches == [("gmm", 4), ("bgmm", 2)]
    next(runs)
    assert groups == [[0], [1]]


@pytest.mark.usefixtures("stacked")
@pytest.mark.parametrize("model", [Gmm, Bgmm])
@pytest.mark.parametrize("many", [True, False])
def test_a_fit_that_raises_fails_its_own_run(
    model: type[Gmm | Bgmm],
    many: bool,
    workflows: list[Workflow],
    micrograph: Micrograph,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether the batch raises, or loses a mixture."""
    fit, fit_many = model.fit, model.fit_many

    def alone(self: Any, z: Any, *, seeds: Seeds, **more: Any) -> Mixture:
        if seeds.number == 3:
            raise FloatingPointError("no luck")
        return fit(self, z, seeds=seeds, **more)

    def together(self: Any, requests: Sequence[FitRequest]) -> list[Mixture]:
        if any(request.seeds.number == 3 for request in requests):
            if many:
                raise FloatingPointError("no luck for anybody")
            requests = [request for request in requests if request.seeds.number != 3]
        return fit_many(self, requests)

    expected = [_alone(workflows, i, micrograph) for i in (0, 2)]
    monkeypatch.setattr(model, "fit", alone)
    monkeypatch.setattr(model, "fit_many", together)
    first, _, third, fourth = _walked(workflows, micrograph)
    assert str(fourth) == "no luck"
    _assert_equal(first, expected[0], workflows[0])
    _assert_equal(third, expected[1], workflows[2])


@pytest.mark.usefixtures("stacked")
@pytest.mark.parametrize("stage", ["encode", "latent_filter", "recut"])
def test_a_stage_that_raises_fails_its_own_run(
    stage: str, workflows: list[Workflow], micrograph: Micrograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _alone(workflows, 0, micrograph)
    place = {
        "encode": "vaeopt.workflow.flow.encode",
        "latent_filter": "vaeopt.workflow.members.unit_diagnostics",
        "recut": "vaeopt.workflow.run.recut_of",
    }[stage]
    path, name = place.rsplit(".", 1)
    does, calls = getattr(import_module(path), name), iter(range(100))

    def fail(*args: Any, **more: Any) -> Any:
        if next(calls) == 3:  # of the last run: the first one has two trainings
            raise FloatingPointError("no luck")
        return does(*args, **more)

    monkeypatch.setattr(place, fail)
    first, second, third, fourth = _walked(workflows, micrograph)
    _assert_equal(first, expected, workflows[0])
    assert isinstance(second, WorkflowRun)
    assert isinstance(third, WorkflowRun)
    assert str(fourth) == "no luck"


def test_an_evidence_that_is_there_is_not_fitted_again(
    workflows: list[Workflow], micrograph: Micrograph, batches: list[tuple[str, int]]
) -> None:
    table = workflows[0].bayesian.to_table()
    changed = {"mixture": {**table, "subsets": 1}, "rewards": ["reconstruction"]}
    own = workflows[0].with_values({**changed, "scores": ["elbo"]})
    (run,) = _walked([own], micrograph)
    assert isinstance(run, WorkflowRun)
    assert batches == [("bgmm", 2)]
    for member in run.members:
        assert member.bayesian is member.mixture
        assert member.seconds["bayesian"] == 0


def test_fits_come_back_in_their_order(batches: list[tuple[str, int]]) -> None:
    rng = np.random.default_rng(0)
    models = [Gmm(components=(1, k), n_init=1) for k in (1, 2, 1, 3, 1)]
    fits = [
        Fit(
            model,
            FitRequest(
                z=rng.standard_normal((40 + i, 2)),
                kept=np.ones(40 + i, bool),
                fit_index=np.arange(40 + i),
                seeds=Seeds(i, 0),
            ),
        )
        for i, model in enumerate(models)
    ]
    found = [fitted.outcome for fitted in fit_all(fits)]
    assert batches == [("gmm", 3)]
    assert [(len(m.fits), len(m.kept)) for m in found if isinstance(m, Mixture)] == [
        (1, 40),
        (2, 41),
        (1, 42),
        (3, 43),
        (1, 44),
    ]
    assert fit_all([]) == []


def test_a_plug_in_that_returns_no_mixture_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gmm, "fit", lambda *_, **__: None)
    points = np.zeros((20, 2))
    request = FitRequest(
        z=points, kept=np.ones(20, bool), fit_index=np.arange(20), seeds=Seeds(0, 0)
    )
    (fitted,) = module.fit_all([Fit(Gmm(), request)])
    assert isinstance(fitted.outcome, TypeError)
    assert "has fitted None, not a Mixture" in str(fitted.outcome)
