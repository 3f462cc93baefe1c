"""Figures of a study and of one trial.

Every figure is a pure ``NAME_info()``, which gives plain arrays, a thin ``draw_NAME()``, which
gives a Plotly figure, and for its data a ``NAME_frame()``. In a notebook one call does both::

    import vaeopt as vo

    study = vo.load_study("studies/quick-start")
    vo.figures.front(study).show()
    vo.figures.latents(vo.load_trial("studies/quick-start")).show()
"""

from vaeopt.report.figures.agreement import (
    AgreementInfo,
    PicksInfo,
    agreement_frame,
    agreement_info,
    draw_agreement,
    draw_picks,
    picks_frame,
    picks_info,
)
from vaeopt.report.figures.building_blocks import (
    ComponentsInfo,
    ManifoldInfo,
    components_frame,
    components_info,
    draw_components,
    draw_manifold,
    manifold_frame,
    manifold_info,
)
from vaeopt.report.figures.collapse import (
    CollapseInfo,
    collapse_frame,
    collapse_info,
    draw_collapse,
)
from vaeopt.report.figures.curves import (
    INVARIANCES,
    WINDOW,
    Curve,
    CurvesInfo,
    curves_caption,
    curves_frame,
    curves_info,
    draw_curves,
    numeric_parameters,
)
from vaeopt.report.figures.front import (
    FrontInfo,
    directions_of,
    draw_front,
    draw_pairs,
    front_frame,
    front_info,
)
from vaeopt.report.figures.history import (
    HistoryInfo,
    draw_history,
    history_frame,
    history_info,
)
from vaeopt.report.figures.hypervolume import (
    HypervolumeInfo,
    draw_hypervolume,
    hypervolume_frame,
    hypervolume_info,
)
from vaeopt.report.figures.importances import (
    ImportancesInfo,
    draw_importances,
    importances_frame,
    importances_info,
)
from vaeopt.report.figures.latents import (
    MOST_POINTS,
    LatentsInfo,
    best_pair,
    draw_latents,
    drawn,
    latents_info,
    points_frame,
)
from vaeopt.report.figures.number import (
    NumberInfo,
    draw_number,
    number_frame,
    number_info,
)
from vaeopt.report.figures.real_space import (
    AngleInfo,
    MapInfo,
    angle_info,
    draw_angles,
    draw_map,
    map_info,
)
from vaeopt.report.figures.seconds import (
    SecondsInfo,
    draw_seconds,
    seconds_frame,
    seconds_info,
)
from vaeopt.report.figures.training import (
    TrainingInfo,
    draw_loss,
    training_frame,
    training_info,
)

# isort: split
# Behind all modules: some of these functions have the name of one of them.
from vaeopt.report.figures.calls import (
    agreement,
    angles,
    collapse,
    components,
    curves,
    front,
    history,
    hypervolume,
    importances,
    latents,
    manifold,
    number_of_components,
    pairs,
    picks,
    real_space,
    seconds,
    training,
)

__all__ = [
    "INVARIANCES",
    "MOST_POINTS",
    "WINDOW",
    "AgreementInfo",
    "AngleInfo",
    "CollapseInfo",
    "ComponentsInfo",
    "Curve",
    "CurvesInfo",
    "FrontInfo",
    "HistoryInfo",
    "HypervolumeInfo",
    "ImportancesInfo",
    "LatentsInfo",
    "ManifoldInfo",
    "MapInfo",
    "NumberInfo",
    "PicksInfo",
    "SecondsInfo",
    "TrainingInfo",
    "agreement",
    "agreement_frame",
    "agreement_info",
    "angle_info",
    "angles",
    "best_pair",
    "collapse",
    "collapse_frame",
    "collapse_info",
    "components",
    "components_frame",
    "components_info",
    "curves",
    "curves_caption",
    "curves_frame",
    "curves_info",
    "directions_of",
    "draw_agreement",
    "draw_angles",
    "draw_collapse",
    "draw_components",
    "draw_curves",
    "draw_front",
    "draw_history",
    "draw_hypervolume",
    "draw_importances",
    "draw_latents",
    "draw_loss",
    "draw_manifold",
    "draw_map",
    "draw_number",
    "draw_pairs",
    "draw_picks",
    "draw_seconds",
    "drawn",
    "front",
    "front_frame",
    "front_info",
    "history",
    "history_frame",
    "history_info",
    "hypervolume",
    "hypervolume_frame",
    "hypervolume_info",
    "importances",
    "importances_frame",
    "importances_info",
    "latents",
    "latents_info",
    "manifold",
    "manifold_frame",
    "manifold_info",
    "map_info",
    "number_frame",
    "number_info",
    "number_of_components",
    "numeric_parameters",
    "pairs",
    "picks",
    "picks_frame",
    "picks_info",
    "points_frame",
    "real_space",
    "seconds",
    "seconds_frame",
    "seconds_info",
    "training",
    "training_frame",
    "training_info",
]
