"""The facts of a study about its winner."""

from pathlib import Path

import numpy as np
import optuna
import pytest

import vaeopt as vo
from tests.study.tiny import ONE, write_study
from vaeopt.report.page.facts import edges_of, facts_of, study_word
from vaeopt.report.page.words import Confirmed, Edge, Facts
from vaeopt.study.fronts.pareto import best, front, margin
from vaeopt.study.optimize import optimize
from vaeopt.study.results.confirm import CONFIRM
from vaeopt.study.results.stored import RESCORED
from vaeopt.study.results.verdict import verdict_lines
from vaeopt.study.session import prepare


def facts(folder: Path) -> tuple[optuna.Study, Facts]:
    study = vo.load_study(folder)
    found = facts_of(study, prepare(vo.open_study(folder)))
    assert found is not None
    return study, found


def test_facts_of_a_compromise(finished_folder: Path) -> None:
    study, found = facts(finished_folder)
    chosen = best(study)
    assert found.study == "finished"
    assert found.trial == chosen.number
    assert [(o.name, o.direction) for o in found.objectives] == [
        ("fvu_core", "minimize"),
        ("gain", "maximize"),
    ]
    assert [o.value for o in found.objectives] == chosen.values
    primitives = chosen.user_attrs["vaeopt:primitives"]
    assert len(found.shares) == primitives["mixture"]["n_components"]
    assert sum(found.shares) == pytest.approx(1)
    assert list(found.shares) == sorted(found.shares, reverse=True)
    assert found.most_components == 3
    (fit,) = (f for f in primitives["mixture"]["fits"] if len(f["weights"]) == len(found.shares))
    assert found.certainty is not None
    assert np.log(found.certainty) * primitives["n_fit"] == pytest.approx(
        fit["map_log_responsibility_total"]
    )
    assert 1 / len(found.shares) <= found.certainty <= 1
    assert found.window_px == chosen.params["patches.size_px"]
    assert found.window_nm is None
    assert "+".join(found.invariances) or chosen.params["vae.invariances"] == "none"
    assert found.explained == pytest.approx(1 - primitives["reconstruction"]["fvu"])
    collapsed = sum(margin(trial) > 0 for trial in study.trials)
    assert (found.finished, found.collapsed, found.running) == (6, collapsed, 0)
    assert found.front_size == len(front(study))
    assert found.win_share is not None
    assert 0 < found.win_share <= 1
    assert found.runner_up is None
    assert found.gained_late is None, "6 trials say nothing of it"
    assert {pick.reward for pick in found.picks} == {"fvu_core", "gain"}
    assert found.verdict is None, "nothing that this study stores says it"


def test_facts_of_one_objective(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "my study", rewards=ONE, n_trials=4)
    optimize(folder)
    study, found = facts(folder)
    values = sorted(t.values[0] for t in study.trials)
    assert found.study == "'my study'"
    assert found.runner_up is not None
    assert found.runner_up.lead == pytest.approx(values[1] - values[0])
    assert found.runner_up.sd is None
    assert found.win_share is None


def test_a_study_with_the_reward_has_a_verdict(finished_copy: Path) -> None:
    held = {str(n): {"value": 0.1, "sd": None, "n": 1} for n in range(6)}
    table = {"reward": {}, "direction": "maximize", "values": held}
    vo.load_study(finished_copy).set_user_attr(RESCORED, {"descriptor_ami": table})
    study, found = facts(finished_copy)
    assert [found.verdict] == verdict_lines(study)


def test_replicates_give_a_deviation(tmp_path: Path) -> None:
    folder = write_study(tmp_path, head="workflow.replicates = 2", rewards=ONE, n_trials=2)
    text = (folder / "study.toml").read_text().replace("workflow.replicates = 2\n", "")
    text = text.replace("[search]", "replicates = 2\n[search]")
    (folder / "study.toml").write_text(text)
    optimize(folder)
    _, found = facts(folder)
    assert found.runner_up is not None
    assert found.runner_up.sd is not None
    assert found.runner_up.sd > 0
    assert (found.runner_up.n, found.runner_up.n_other) == (2, 2)


def test_a_winner_at_the_end_of_a_range_is_at_an_edge(tmp_path: Path) -> None:
    search = '"patches.size_px" = { low = 5, high = 7, step = 2 }\n'
    folder = write_study(tmp_path, rewards=ONE, search=search, n_trials=1)
    optimize(folder)
    study, found = facts(folder)
    value = best(study).params["patches.size_px"]
    assert found.edges == (Edge("patches.size_px", value, "lower" if value == 5 else "upper"),)


def test_the_inside_of_a_range_is_no_edge(tmp_path: Path) -> None:
    search = '"patches.size_px" = { low = 5, high = 9, step = 2 }\n'
    folder = write_study(tmp_path, rewards=ONE, search=search, n_trials=3)
    text = (folder / "study.toml").read_text().replace('kind = "random"', 'kind = "grid"')
    (folder / "study.toml").write_text(text)
    optimize(folder)
    study = vo.load_study(folder)
    middle = next(t for t in study.trials if t.params["patches.size_px"] == 7)
    session = prepare(vo.open_study(folder))
    assert edges_of(session, middle) == ()


def test_the_least_possible_value_is_no_edge(tmp_path: Path) -> None:
    search = '"vae.latent_dim" = { low = 1, high = 2 }\n'
    folder = write_study(tmp_path, rewards=ONE, search=search, n_trials=2)
    text = (folder / "study.toml").read_text().replace('kind = "random"', 'kind = "grid"')
    (folder / "study.toml").write_text(text.replace("high = 2 }", "high = 2, step = 1 }"))
    optimize(folder)
    study, found = facts(folder)
    chosen = best(study).params["vae.latent_dim"]
    expected = (Edge("vae.latent_dim", 2.0, "upper"),) if chosen == 2 else ()
    assert found.edges == expected


def test_a_confirmation_is_found(finished_copy: Path) -> None:
    study = vo.load_study(finished_copy)
    study.set_user_attr(CONFIRM, {"sentence": "trial 2 wins", "winner": 2})
    _, found = facts(finished_copy)
    assert found.confirmed == Confirmed("trial 2 wins", 2)


def test_nothing_feasible_has_no_facts(tmp_path: Path) -> None:
    latent_filter = '{ kind = "variance-product", minimum = 1e9 }'
    folder = write_study(tmp_path, latent_filter=latent_filter, n_trials=1)
    optimize(folder)
    file = vo.open_study(folder)
    assert facts_of(vo.load_study(folder), prepare(file)) is None


def test_a_file_of_another_name_is_the_word_for_the_study(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    other = (folder / "study.toml").rename(folder / "other.toml")
    assert study_word(prepare(vo.open_study(other))) == "other.toml"
