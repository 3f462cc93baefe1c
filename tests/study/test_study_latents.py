"""Latents read from a file are those of the run that is rebuilt in full."""

from pathlib import Path

import numpy as np
import pytest

import vaeopt as vo
from vaeopt.core.errors import StudyError
from vaeopt.study.fronts.pareto import margin
from vaeopt.study.results.latents import read_latents
from vaeopt.study.results.records import FILES, restore
from vaeopt.study.session import prepare


def test_they_are_those_of_the_restored_run(finished_folder: Path) -> None:
    session = prepare(vo.open_study(finished_folder))
    for trial in vo.load_study(finished_folder).trials:
        run = restore(trial, session)
        found = read_latents(trial, session.artefacts)
        assert found.trial == trial.number
        assert len(found) == len(run.latents) > 0
        assert found.latent_dim == run.latents.latent_dim
        np.testing.assert_array_equal(found.yx_px, run.keypoints.yx_px)
        np.testing.assert_array_equal(found.z_mean, run.latents.z_mean)
        np.testing.assert_array_equal(found.z_std, run.latents.z_std)
        np.testing.assert_array_equal(found.error_nats, run.latents.error_nats)
        np.testing.assert_array_equal(found.kept, run.mixture.kept)
        np.testing.assert_array_equal(found.core, run.mixture.core)
        np.testing.assert_array_equal(found.component, run.mixture.component)
        assert list(found.codes) == list(run.latents.codes)
        assert found.reasons == run.collapse.reasons
        assert bool(found.reasons) == (margin(trial) > 0)


def test_the_components_lie_in_the_space_of_the_latents(finished_folder: Path) -> None:
    session = prepare(vo.open_study(finished_folder))
    trial = next(t for t in vo.load_study(finished_folder).trials if margin(t) <= 0)
    mixture, found = restore(trial, session).mixture, read_latents(trial, session.artefacts)
    assert mixture.best is not None
    assert found.n_components == mixture.best.n_components
    assert found.weights.sum() == pytest.approx(1)
    whitened = (found.means - mixture.shift) @ mixture.transform.T
    np.testing.assert_allclose(whitened, mixture.best.means, atol=1e-9)
    spread = mixture.transform @ found.covariances @ mixture.transform.T
    np.testing.assert_allclose(spread, mixture.best.covariances, atol=1e-9)


def test_a_trial_without_its_file_says_so(finished_copy: Path) -> None:
    trial = vo.load_study(finished_copy).trials[0]
    store = prepare(vo.open_study(finished_copy)).artefacts
    path = store.folder / trial.user_attrs[FILES]["latents.npz"]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StudyError, match=r"latents\.npz of trial 0 in .* is damaged; put the"):
        read_latents(trial, store)
    path.unlink()
    with pytest.raises(StudyError, match=r"latents\.npz of trial 0 is not in .*; put the"):
        read_latents(trial, store)


def test_a_trial_of_another_origin_says_so(finished_folder: Path) -> None:
    trial = vo.load_study(finished_folder).trials[0]
    trial.set_user_attr(FILES, {})
    store = prepare(vo.open_study(finished_folder)).artefacts
    with pytest.raises(StudyError, match=r"latents\.npz of trial 0 is not in"):
        read_latents(trial, store)
