"""The winner in words: what was found, how sure that is, what to try next. Facts in, text out."""

from typing import NamedTuple

__all__ = [
    "Confirmed",
    "Edge",
    "Facts",
    "Objective",
    "Pick",
    "RunnerUp",
    "Step",
    "found",
    "human",
    "next_steps",
    "sure",
]

_MUCH_COLLAPSED = 0.3
_RISING = 0.01
_CLEAR = 2.0  # standard deviations of a difference


class Objective(NamedTuple):
    """What the winner reached in one objective."""

    name: str
    direction: str
    """``minimize`` or ``maximize``"""
    value: float


class RunnerUp(NamedTuple):
    """The next best configuration of a single objective."""

    trial: int
    lead: float
    """by how much the winner is better, at least 0"""
    sd: float | None
    """standard deviation of one training of the same settings; None if nothing was trained twice"""
    n: int
    """trainings that the value of the winner is a mean of"""
    n_other: int
    """trainings that the value of the other is a mean of"""


class Edge(NamedTuple):
    """A searched number of which the winner has the least or greatest that was allowed."""

    path: str
    value: float
    end: str
    """``lower`` or ``upper``"""


class Pick(NamedTuple):
    """The trial that one reward alone would have picked."""

    reward: str
    trial: int


class Confirmed(NamedTuple):
    """What the fresh trainings of the leaders said."""

    sentence: str
    winner: int | None


class Facts(NamedTuple):
    """All that the sentences are made of."""

    study: str
    """the word for the study in a command line"""
    trial: int
    objectives: tuple[Objective, ...]
    shares: tuple[float, ...]
    """of the components, greatest first; empty if nothing could be fitted"""
    most_components: int | None
    """the greatest number that was tried"""
    window_px: int
    window_nm: float | None
    invariances: tuple[str, ...]
    latent_dim: int
    explained: float | None
    """share of the variance of the patches"""
    kept: float | None
    """share of the key points that passed the density filter"""
    n_keypoints: int | None
    finished: int
    collapsed: int
    running: int
    front_size: int
    win_share: float | None
    """share of preferences for which the winner is the best; of several objectives only"""
    runner_up: RunnerUp | None
    confirmed: Confirmed | None
    edges: tuple[Edge, ...]
    picks: tuple[Pick, ...]
    gained_late: float | None
    """relative growth of hypervolume (or best value) in the last quarter of the trials"""
    certainty: float | None = None
    """probability of a fitted key point's own component, geometric mean; None without components"""
    verdict: str | None = None
    """whether there are building blocks at all, as a sentence without a full stop"""


class Step(NamedTuple):
    """Something to do, with the command for it where there is one."""

    text: str
    command: str | None = None


def human(value: float) -> str:
    """A number with as many digits as people read.

    >>> human(12.0), human(0.123456), human(1234567.0), human(-0.00001234)
    ('12', '0.1235', '1.235e+06', '-1.234e-05')
    """
    if abs(value) < 1e6 and float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.4g}"


def _percent(share: float) -> str:
    if 0 < share < 0.005:
        return "less than 1 %"
    return f"{100 * share:.0f} %"


def _several(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def found(facts: Facts) -> list[str]:
    """What the winner is and shows."""
    lines = [_components(facts), _recipe(facts), _quality(facts)]
    if facts.verdict is None:
        return lines
    # First: without structure all that follows describes cuts.
    return [f"{facts.verdict[0].upper()}{facts.verdict[1:]}.", *lines]


def _components(facts: Facts) -> str:
    count = len(facts.shares)
    who = f"Trial {facts.trial}"
    if len(facts.objectives) > 1:
        who = f"Trial {facts.trial}, the compromise between the objectives,"
    if count == 0:
        return f"{who} has no components: no mixture could be fitted to its latents."
    if count == 1:
        return (
            f"{who} has one component: its latents form a single group, and no different building "
            "blocks were told apart."
        )
    shares = _listed([_percent(share) for share in facts.shares])
    text = f"{who} has a mixture of {count} components, with weights of {shares}."
    if count == facts.most_components:
        text += f" {count} is the greatest number that was tried, so there may be more."
    return text


def _recipe(facts: Facts) -> str:
    nm = "" if facts.window_nm is None else f" ({facts.window_nm:.3g} nm)"
    made = f"Its windows are {facts.window_px} px{nm} wide, with {facts.latent_dim} "
    made += f"latent{'' if facts.latent_dim == 1 else 's'} and "
    if not facts.invariances:
        return f"{made}no invariance."
    return f"{made}invariance to {_listed(list(facts.invariances))}."


def _quality(facts: Facts) -> str:
    values = _listed([f"{one.name} {human(one.value)}" for one in facts.objectives])
    parts = []
    if facts.explained is not None:
        parts.append(f"it explains {_percent(facts.explained)} of the variance of the patches")
    if facts.kept is not None:
        of = "" if facts.n_keypoints is None else f"{facts.n_keypoints} "
        parts.append(f"{_percent(facts.kept)} of the {of}key points passed the density filter")
    return f"It reaches {values}{'; ' if parts else ''}{'; '.join(parts)}."


def sure(facts: Facts) -> list[str]:
    """How far the result can be trusted, nothing that the data do not say."""
    lines = [_trials(facts)]
    if len(facts.shares) > 1:
        lines.append(_mixture(facts))
    if facts.confirmed is not None:
        lines.append(f"Trained again with fresh seeds: {facts.confirmed.sentence}.")
    if len(facts.objectives) > 1:
        lines.append(_preferences(facts))
    elif facts.runner_up is not None:
        lines.append(_lead(facts.runner_up, confirmed=facts.confirmed is not None))
    elif facts.confirmed is None:
        lines.append("There is no other healthy configuration to compare it with.")
    if facts.confirmed is None and len(facts.objectives) > 1:
        lines.append(
            "It was chosen because its values were good, so part of them is luck; how much is not "
            "known before the leaders are trained again."
        )
    if facts.picks:
        lines.append(_agreement(facts))
    lines += [
        f"It lies at the {edge.end} end of {edge.path} ({human(edge.value)}): a better one may lie "
        "beyond."
        for edge in facts.edges
    ]
    return lines


def _mixture(facts: Facts) -> str:
    """A number of Gaussians is less than a number of kinds of places."""
    count = len(facts.shares)
    text = f"A curved or skewed cloud of latents takes several Gaussians, so {count} components"
    text += f" need not be {count} building blocks: compare what they look like."
    if facts.certainty is None:
        return text
    return (
        f"Key points belong to their component with a probability of {_percent(facts.certainty)} "
        f"(geometric mean; {_percent(1 / count)} would be a guess). {text}"
    )


def _trials(facts: Facts) -> str:
    text = f"The search has finished {_several(facts.finished, 'trial')}"
    if facts.collapsed:
        share = _percent(facts.collapsed / facts.finished)
        text += f", of which {facts.collapsed} ({share}) collapsed and do not count"
    if facts.running:
        text += f"; {facts.running} {'was' if facts.running == 1 else 'were'} still running"
    return f"{text}."


def _preferences(facts: Facts) -> str:
    if facts.front_size == 1:
        return "No other trial is better in any objective without being worse in another."
    text = f"{facts.front_size} trials lie on the Pareto front, and none of them is simply the best"
    if facts.win_share is None:
        return f"{text}."
    return (
        f"{text}; this one is the best for {_percent(facts.win_share)} of all ways to weigh the "
        "objectives."
    )


def _lead(other: RunnerUp, *, confirmed: bool) -> str:
    lead = f"In the search it leads trial {other.trial} by {human(other.lead)}"
    if other.sd is None:
        if confirmed:
            return f"{lead}."
        return (
            f"{lead}. Nothing was trained twice, so it is not known how much of this is chance of "
            "the seeds."
        )
    if other.sd == 0:
        return f"{lead}; trainings with other seeds gave the same value."
    ratio = other.lead / other.sd
    noise = other.sd * (1 / other.n + 1 / other.n_other) ** 0.5
    told = f"{lead}, {ratio:.2g} times the standard deviation over seeds"
    if other.lead < _CLEAR * noise:
        return f"{told}: chance alone can do that."
    return (
        f"{told}: more than seeds alone usually do. The winner of a search is chosen for being "
        "lucky too, so only fresh trainings settle it."
    )


def _agreement(facts: Facts) -> str:
    same = [pick.reward for pick in facts.picks if pick.trial == facts.trial]
    others = [pick for pick in facts.picks if pick.trial != facts.trial]
    if not others:
        return f"All {len(facts.picks)} rewards and scores would pick it by themselves."
    told = _listed([f"{pick.reward} (trial {pick.trial})" for pick in others])
    if not same:
        return f"None of the rewards and scores would pick it alone: {told}."
    return f"{_listed(same)} would pick it alone, too; not so {told}."


def next_steps(facts: Facts) -> list[Step]:
    """What would make the result surer or better, with commands."""
    steps = []
    if facts.running:
        steps.append(Step("Wait for the running trials.", f"vaeopt status {facts.study}"))
    if facts.confirmed is None:
        steps.append(
            Step(
                "Train the leaders again with fresh seeds, to see whether the winner stays one.",
                f"vaeopt confirm {facts.study}",
            )
        )
    elif facts.confirmed.winner not in (None, facts.trial):
        steps.append(
            Step(
                f"Look at trial {facts.confirmed.winner}, which won when the leaders were trained "
                "again.",
                f"vaeopt export {facts.study} --trial {facts.confirmed.winner} "
                f"--out trial-{facts.confirmed.winner}",
            )
        )
    steps += [
        Step(
            f"Widen {edge.path} {'below' if edge.end == 'lower' else 'above'} "
            f"{human(edge.value)}, in a copy of the study file under a new name."
        )
        for edge in facts.edges
    ]
    if facts.gained_late is not None and facts.gained_late > _RISING:
        what = "hypervolume" if len(facts.objectives) > 1 else "best value"
        more = max(facts.finished + 10, round(1.5 * facts.finished / 10) * 10)
        steps.append(
            Step(
                f"Run more trials: the {what} still improved by {_percent(facts.gained_late)} in "
                "the last quarter of them.",
                f"vaeopt optimize {facts.study} --n-trials {more}",
            )
        )
    if facts.collapsed > _MUCH_COLLAPSED * facts.finished:
        steps.append(
            Step(
                "Many trials collapsed: look at their reasons below, and search smaller "
                "vae.kl_scale in a new study."
            )
        )
    steps.append(
        Step(
            "Take the components and the model of this trial out of the study.",
            f"vaeopt export {facts.study} --trial {facts.trial} --out trial-{facts.trial}",
        )
    )
    return steps
