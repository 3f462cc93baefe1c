"""The trial that each reward would pick."""

import numpy as np
import optuna
import pandas as pd

from vaeopt.study.fronts.pareto import feasible
from vaeopt.study.results.access import candidates, trials_frame
from vaeopt.study.results.records import settings_of

__all__ = ["picks_frame"]


def picks_frame(study: optuna.Study) -> pd.DataFrame:
    """Which feasible trial each reward and recorded score would pick.

    Returns:
        One row per value: its name, direction, value, trial and the parameters of that trial.
    """
    trials = feasible(study)
    if not trials:
        return pd.DataFrame()
    rows = candidates(trials_frame(study)).to_dict("records")
    parameters = sorted({name for trial in trials for name in trial.params})
    picks = []
    for reward in settings_of(trials[0]).values:
        label = reward.label
        known = [row for row in rows if row[label] is not None and not np.isnan(row[label])]
        if not known:
            continue
        sign = 1 if reward.direction == "minimize" else -1
        chosen = min(known, key=lambda row: sign * row[label])
        picks.append(
            {
                "reward": reward.label,
                "direction": reward.direction,
                "value": chosen[reward.label],
                "trial": chosen["trial"],
                **{name: chosen[name] for name in parameters},
                "components": chosen["components"],
            }
        )
    return pd.DataFrame(picks)
