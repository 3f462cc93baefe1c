"""Which rewards become columns."""

from typing import Any

from vaeopt.stages.rewards import Reward
from vaeopt.truth.columns import ScoreSettings, check_columns, columns_of, directions_of
from vaeopt.workflow import Workflow

_TABLE: dict[str, Any] = {"preset": "paper"}
PAPER = Workflow(**_TABLE)


def labels(workflow: Workflow | None = None, **scores: Any) -> list[str]:
    return [one.label for one in columns_of(workflow or Workflow(), ScoreSettings(**scores))]


def test_every_kind_that_one_training_has_a_value_of_is_there() -> None:
    found = {one.kind for one in columns_of(Workflow(), ScoreSettings())}
    builtin = {k for k in Reward.kinds() if Reward.of_kind(k).__module__.startswith("vaeopt.")}
    # A composite needs terms; seed-ari compares trainings.
    assert builtin - found == {"composite", "seed-ari"}
    several = columns_of(Workflow(replicates=3), ScoreSettings())
    assert "seed-ari" in {one.kind for one in several}


def test_rewards_that_take_a_number_of_components_get_all_that_are_asked_for() -> None:
    found = labels(components=(3, 5))
    assert {"rotation_ami(K=3)", "rotation_ami(K=4)", "rotation_ami"} <= set(found)
    assert "rotation_ami(K=6)" not in found
    assert {"spatial_kappa(K=3)", "silhouette(K=chosen)"} <= set(found)


def test_forms_of_a_criterion_are_columns_of_their_own() -> None:
    assert {"icl", "icl_paper", "icl_quarter", "fvu_core", "mse", "entropy_normalised"} <= set(
        labels()
    )


def test_what_takes_time_can_be_left_out() -> None:
    found = labels(bayesian=False, without=["bootstrap_stability"])
    assert not [one for one in found if "elbo" in one or "bayesian" in one or "bootstrap" in one]
    assert "elbo_h" in labels()


def test_a_grid_without_one_component_has_no_gain() -> None:
    assert "gain" not in labels(PAPER)
    assert "icl_paper" in labels(PAPER)


def test_what_the_workflow_names_comes_first_and_once() -> None:
    table: dict[str, Any] = {"rewards": ["gain", {"kind": "spatial-kappa", "outer": 2.5}]}
    found = labels(Workflow(**table))
    assert found[:2] == ["gain", "spatial_kappa(outer=2.5)"]
    assert len(found) == len(set(found))


def test_columns_of_a_view_carry_its_name() -> None:
    found = directions_of(Workflow(), {"paper": PAPER}, ScoreSettings())
    assert found["paper.icl_paper"] == "minimize"
    assert found["gain"] == "maximize"


def test_unknown_kinds_are_refused() -> None:
    (mistake,) = check_columns(Workflow(), {}, ScoreSettings(without=("silhouete",)))
    assert str(mistake).startswith("scores.without.0")
    assert "did you mean 'silhouette'?" in str(mistake)
    (mistake,) = check_columns(Workflow(), {}, ScoreSettings(components=(4, 3)))
    assert "two rising numbers" in str(mistake)
