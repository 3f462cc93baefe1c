"""Facts in, sentences out: nothing is claimed that the facts do not hold."""

import pytest

from vaeopt.report.page.words import (
    Confirmed,
    Edge,
    Facts,
    Objective,
    Pick,
    RunnerUp,
    found,
    next_steps,
    sure,
)

ONE = Facts(
    study="pzt",
    trial=17,
    objectives=(Objective("icl", "minimize", 1.25),),
    shares=(0.5, 0.3, 0.2),
    most_components=10,
    window_px=13,
    window_nm=101.5625,
    invariances=("rotation", "translation"),
    latent_dim=2,
    explained=0.834,
    kept=0.9,
    n_keypoints=786,
    finished=60,
    collapsed=8,
    running=0,
    front_size=1,
    win_share=None,
    runner_up=RunnerUp(trial=3, lead=0.02, sd=None, n=1, n_other=1),
    confirmed=None,
    edges=(),
    picks=(),
    gained_late=0.0,
)
TWO = ONE._replace(
    objectives=(Objective("fvu_core", "minimize", 0.06), Objective("gain", "maximize", 0.7)),
    front_size=4,
    win_share=0.41,
    runner_up=None,
)


def commands(facts: Facts) -> list[str]:
    return [step.command for step in next_steps(facts) if step.command]


def test_what_was_found() -> None:
    assert found(ONE) == [
        "Trial 17 has a mixture of 3 components, with weights of 50 %, 30 % and 20 %.",
        "Its windows are 13 px (102 nm) wide, with 2 latents and invariance to rotation and "
        "translation.",
        "It reaches icl 1.25; it explains 83 % of the variance of the patches; 90 % of the 786 key "
        "points passed the density filter.",
    ]


def test_the_verdict_on_structure_comes_first() -> None:
    said = ONE._replace(verdict="no structure: the best descriptor_ami of 40 trials is 0.14")
    assert found(said) == [
        "No structure: the best descriptor_ami of 40 trials is 0.14.",
        *found(ONE),
    ]


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (ONE._replace(shares=(1.0,)), "no different building blocks were told apart"),
        (ONE._replace(shares=()), "no mixture could be fitted"),
        (ONE._replace(most_components=3), "3 is the greatest number that was tried"),
        (ONE._replace(window_nm=None), "windows are 13 px wide"),
        (ONE._replace(invariances=()), "and no invariance."),
        (ONE._replace(latent_dim=1), "with 1 latent and"),
        (ONE._replace(explained=None, kept=None), "It reaches icl 1.25."),
        (ONE._replace(shares=(0.998, 0.002)), "weights of 100 % and less than 1 %"),
        (TWO, "Trial 17, the compromise between the objectives, has a mixture of 3"),
        (TWO, "It reaches fvu_core 0.06 and gain 0.7"),
    ],
)
def test_what_was_found_in_other_cases(facts: Facts, text: str) -> None:
    assert text in " ".join(found(facts))


def test_a_lead_without_repeats_is_of_unknown_worth() -> None:
    assert sure(ONE) == [
        "The search has finished 60 trials, of which 8 (13 %) collapsed and do not count.",
        "A curved or skewed cloud of latents takes several Gaussians, so 3 components need not be "
        "3 building blocks: compare what they look like.",
        "In the search it leads trial 3 by 0.02. Nothing was trained twice, so it is not known how "
        "much of this is chance of the seeds.",
    ]


@pytest.mark.parametrize(
    ("sd", "n", "text"),
    [
        (0.02, 1, "1 times the standard deviation over seeds: chance alone can do that"),
        (0.009, 1, "2.2 times the standard deviation over seeds: chance alone can do that"),
        # The standard error of the difference is 0.009 * sqrt(1/4 + 1/4) = 0.0064.
        (0.009, 4, "more than seeds alone usually do. The winner of a search is chosen for being"),
        (0.0, 2, "trainings with other seeds gave the same value"),
    ],
)
def test_a_lead_is_held_against_the_deviation_over_seeds(sd: float, n: int, text: str) -> None:
    facts = ONE._replace(runner_up=RunnerUp(trial=3, lead=0.02, sd=sd, n=n, n_other=n))
    assert text in sure(facts)[2]


def test_without_a_rival_nothing_is_compared() -> None:
    facts = ONE._replace(runner_up=None)
    assert sure(facts)[2] == "There is no other healthy configuration to compare it with."


def test_how_sure_the_components_are() -> None:
    assert sure(ONE._replace(certainty=0.873))[1].startswith(
        "Key points belong to their component with a probability of 87 % (geometric mean; 33 % "
        "would be a guess). A curved or skewed cloud"
    )
    single = " ".join(sure(ONE._replace(shares=(1.0,), certainty=1.0)))
    assert "probability" not in single
    assert "Gaussians" not in single


def test_a_compromise_is_not_simply_the_best() -> None:
    text = " ".join(sure(TWO))
    assert "4 trials lie on the Pareto front, and none of them is simply the best" in text
    assert "the best for 41 % of all ways to weigh the objectives" in text
    assert "part of them is luck" in text
    alone = " ".join(sure(TWO._replace(front_size=1)))
    assert "No other trial is better in any objective without being worse in another" in alone


def test_a_confirmation_is_quoted() -> None:
    facts = ONE._replace(confirmed=Confirmed("trial 17 wins: icl 1.3 over 5 re-trainings", 17))
    text = " ".join(sure(facts))
    assert "Trained again with fresh seeds: trial 17 wins: icl 1.3 over 5 re-trainings." in text
    assert "not known" not in text
    assert "vaeopt confirm pzt" not in commands(facts)


def test_another_winner_of_the_confirmation_is_to_be_looked_at() -> None:
    facts = ONE._replace(confirmed=Confirmed("trial 3 wins", 3))
    assert "vaeopt export pzt --trial 3 --out trial-3" in commands(facts)


def test_the_rewards_agree_or_not() -> None:
    both = ONE._replace(picks=(Pick("icl", 17), Pick("gain", 17)))
    assert "All 2 rewards and scores would pick it by themselves." in sure(both)
    one = ONE._replace(picks=(Pick("icl", 17), Pick("gain", 4)))
    assert "icl would pick it alone, too; not so gain (trial 4)." in sure(one)
    none = ONE._replace(picks=(Pick("icl", 2), Pick("gain", 4)))
    assert sure(none)[-1] == (
        "None of the rewards and scores would pick it alone: icl (trial 2) and gain (trial 4)."
    )


def test_what_to_try_next() -> None:
    assert commands(ONE) == ["vaeopt confirm pzt", "vaeopt export pzt --trial 17 --out trial-17"]
    edge = ONE._replace(edges=(Edge("patches.size_px", 15.0, "upper"),))
    assert "Widen patches.size_px above 15, in a copy of the study file under a new name." in [
        step.text for step in next_steps(edge)
    ]
    assert sure(edge)[-1] == (
        "It lies at the upper end of patches.size_px (15): a better one may lie beyond."
    )
    assert "vaeopt optimize pzt --n-trials 90" in commands(ONE._replace(gained_late=0.05))
    assert not any("optimize" in c for c in commands(ONE._replace(gained_late=None)))
    assert "vaeopt status pzt" in commands(ONE._replace(running=2))
    many = next_steps(ONE._replace(collapsed=30))
    assert any("Many trials collapsed" in step.text for step in many)


def test_running_trials_are_named() -> None:
    assert sure(ONE._replace(running=1, collapsed=0))[0] == (
        "The search has finished 60 trials; 1 was still running."
    )
