"""Persistent homology: laws, bars worked by hand, and a library that may be missing."""

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vaeopt.core.errors import SettingsError
from vaeopt.core.types import Floats, WorkflowRun
from vaeopt.stages.mixture.gmm import Gmm
from vaeopt.stages.rewards.persistence import Persistence, lifetimes, summarise
from vaeopt.testing import example_run
from vaeopt.workflow import Workflow

QUICK = Workflow(mixture=Gmm(components=(1, 2), n_init=1, tol=1e-3))
SQUARE = np.array([(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)])
# Distances 1 and 2; mean 4/3; mean square distance from it (16 + 1 + 25) / 27 = 14/9.
LINE = np.array([(0.0, 0.0), (1.0, 0.0), (3.0, 0.0)])

_RNG = np.random.default_rng(0)
_ANGLE = _RNG.uniform(0, 2 * np.pi, 150)
CLOUD = _RNG.standard_normal((150, 2))
RING = np.c_[np.cos(_ANGLE), np.sin(_ANGLE)] + 0.03 * _RNG.standard_normal((150, 2))
PAIR = 0.1 * CLOUD + np.repeat([(0.0, 0.0), (3.0, 1.0)], 75, axis=0)


def _run(z: Floats) -> WorkflowRun:
    return example_run(z, QUICK)


# ---- bars


def test_gaps_of_a_line_by_hand() -> None:
    radius = math.sqrt(14 / 9)
    np.testing.assert_allclose(lifetimes(LINE, 0), [2 / radius, 1 / radius], rtol=1e-6)
    assert len(lifetimes(LINE, 1)) == 0


def test_the_loop_of_a_square_by_hand() -> None:
    """It is born with the edges, 1, and dies with the diagonals; the radius is 1 / sqrt 2."""
    expected = (math.sqrt(2) - 1) * math.sqrt(2)
    np.testing.assert_allclose(lifetimes(SQUARE, 1), [expected], rtol=1e-6)
    np.testing.assert_allclose(lifetimes(SQUARE, 0), [math.sqrt(2)] * 3, rtol=1e-6)


@pytest.mark.parametrize("homology", [0, 1])
def test_place_turn_and_scale_of_a_cloud_do_not_matter(homology: int) -> None:
    first = lifetimes(CLOUD, homology)
    turn = np.array([(0.6, -0.8), (0.8, 0.6)])
    np.testing.assert_allclose(lifetimes(1e-3 * CLOUD @ turn + 5, homology), first, atol=1e-6)
    assert (np.diff(first) <= 0).all()


def test_repeated_points_have_no_bars() -> None:
    np.testing.assert_allclose(lifetimes(np.repeat(LINE, 3, axis=0), 0), lifetimes(LINE, 0))
    for h in (0, 1):
        assert len(lifetimes(np.full((12, 2), 0.3), h)) == 0
        assert len(lifetimes(LINE[:1], h)) == 0


# ---- summaries


def test_summaries_by_hand() -> None:
    bars = np.array([2.0, 1.0])
    assert summarise(bars, "longest") == 2.0
    assert summarise(bars, "total") == 3.0
    entropy = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert summarise(bars, "entropy") == pytest.approx(1 - entropy / math.log(2))


def test_the_entropy_tells_one_long_bar_from_equal_ones() -> None:
    assert summarise(np.full(7, 0.3), "entropy") == pytest.approx(0, abs=1e-12)
    assert summarise(np.array([1.0, *[1e-6] * 6]), "entropy") == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("summary", ["longest", "total", "entropy"])
def test_no_bar_is_nothing(summary: Any) -> None:
    assert summarise(np.empty(0), summary) == 0.0


def test_a_single_bar_is_not_unequal() -> None:
    assert summarise(np.array([0.4]), "entropy") == 0.0


# ---- the reward


def test_a_gap_and_a_loop_are_seen_by_their_homology() -> None:
    gap = {name: Persistence().value(_run(z)) for name, z in _clouds().items()}
    loop = {name: Persistence(homology=1).value(_run(z)) for name, z in _clouds().items()}
    assert gap["pair"] > 2 * max(gap["cloud"], gap["ring"])
    assert loop["ring"] > 2 * max(loop["cloud"], loop["pair"])


def _clouds() -> dict[str, Floats]:
    return {"pair": PAIR, "ring": RING, "cloud": CLOUD}


@pytest.mark.parametrize("homology", [0, 1])
@pytest.mark.parametrize("summary", ["longest", "total", "entropy"])
def test_degenerate_clouds_have_the_value_of_no_structure(homology: int, summary: Any) -> None:
    reward = Persistence(homology=homology, summary=summary)
    for z in (np.zeros((150, 2)), CLOUD * [1.0, 0.0], CLOUD[:1]):
        assert reward.value(_run(z)) == 0.0
    few = _run(np.repeat(CLOUD[:9], 3, axis=0))
    assert few.mixture.chosen is not None
    assert reward.value(few) == 0.0


def test_the_value_is_that_of_the_fitted_points_in_fit_space() -> None:
    run = _run(CLOUD * [1.0, 20.0])
    rows = run.mixture.fit_index
    assert 10 < len(rows) < 150
    scaled = (run.latents.z[rows] - run.mixture.shift) @ run.mixture.transform.T
    expected = summarise(lifetimes(scaled, 0), "total")
    assert Persistence(summary="total").value(run) == pytest.approx(expected)


def test_a_part_of_the_points_depends_on_the_study_only() -> None:
    run = _run(CLOUD)
    some = Persistence(max_points=40)
    assert some.value(run) == some.value(run) != Persistence().value(run)
    other = replace(run, comparison=replace(run.comparison, seed=1))
    assert some.value(other) != some.value(run)
    assert Persistence().value(other) == Persistence().value(run)


def test_labels_name_homology_and_summary() -> None:
    assert Persistence().label == "persistence_h0_longest"
    assert Persistence(homology=1, summary="total").label == "persistence_h1_total"


# ---- the library


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gudhi", None)
    with pytest.raises(SettingsError, match=r"gudhi; pip install 'vaeopt\[topology\]'") as error:
        Persistence()
    assert "\n" not in str(error.value)


def test_the_package_is_imported_without_the_library() -> None:
    code = (
        "import sys; sys.modules['gudhi'] = None; "
        "from vaeopt.stages.rewards.persistence import Persistence; print(Persistence.kind)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)  # noqa: S603
    assert done.stdout == "persistence\n"
