"""Does the default reward also rank well on measured scans, as far as classes can be derived there?

    VAEOPT_DATA_DIR=/folder/with/the/scans python benchmarks/truth/measured.py [--only NAME ...]

The classes are derived from another channel or from the lattice (docs/datasets.md), they are no
truth. One training per configuration, some hundreds of key points of the large scans. Each finished
scan is kept in ``benchmarks/truth/measured.json`` and not trained again. Prints a table.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_rand_score

import vaeopt as vo
from vaeopt.core.seeds import Seeds
from vaeopt.datasets import ReferenceScan, reference, write_keypoints
from vaeopt.stages.look import look_at
from vaeopt.study.session import prepare
from vaeopt.truth.metrics import knn_accuracy, true_k_partition
from vaeopt.workflow import walk
from vaeopt.workflow.scores import known_score

RESULTS = Path(__file__).parent / "measured.json"
WINDOWS = {
    "mos2-vanadium-sites": (9, 13, 19, 27),
    "mos2-defects-sites": (13, 19, 27, 37),
    "stripe-domain-walls": (9, 13, 19, 27),
    "pzt-walls": (9, 13, 19, 27),
}
CLIP = {"mos2-vanadium-sites": (0.1, 99.9), "mos2-defects-sites": (0.1, 99.9)}
MOST_KEYPOINTS = 900
REWARDS: list[dict[str, Any]] = [
    {"kind": "descriptor-ami"},
    {"kind": "descriptor-kappa"},
    {"kind": "gain"},
    {"kind": "icl"},
    {"kind": "rotation-ami"},
    {"kind": "spatial-kappa"},
    {"kind": "reconstruction"},
]


def thinned(scan: ReferenceScan) -> ReferenceScan:
    """Every n-th key point, so that no more than some hundreds are left."""
    step = -(-len(scan.yx_px) // MOST_KEYPOINTS)
    return replace(scan, yx_px=scan.yx_px[::step], classes=scan.classes[::step])


def measure(name: str, folder: Path) -> dict[str, Any]:
    """All configurations on one scan."""
    scan = thinned(reference(name))
    write_keypoints(scan, folder / "keypoints.csv")
    settings = vo.StudySettings(
        name=name,
        image={
            "path": str(scan.path),
            "channel": scan.channel,
            "clip_percentiles": CLIP.get(name, (1, 95)),
        },
        workflow={
            "preset": "thorough",
            "keypoints": {"kind": "csv", "path": "keypoints.csv"},
            "mixture": {"kind": "gmm", "components": [1, 8], "n_init": 3},
            "rewards": REWARDS[:1],
            "scores": REWARDS[1:],
        },
        search={
            "patches.size_px": {"choices": list(WINDOWS[name])},
            "vae.latent_dim": {"choices": [2, 4]},
        },
    )
    session = prepare(vo.open_study(settings, folder=folder))
    workflow = session.file.settings.workflow
    classes = scan.classes_at(session.keypoints.yx_px)
    known = classes >= 0
    rows = []
    invariances = ("none", "rotation", "rotation+translation")
    for number, (window, pose, d) in enumerate(product(WINDOWS[name], invariances, (2, 4))):
        values = {"patches.size_px": window, "vae.invariances": pose, "vae.latent_dim": d}
        run = walk(
            workflow.with_values(values),
            session.micrograph,
            comparison=session.comparison,
            seeds=Seeds(0, number),
            cache=session.cache,
            folder=folder,
        )
        found = true_k_partition(run.latents.z_mean, scan.n_classes)
        scores = {r.label: (r.direction, known_score(r, run)) for r in workflow.values}
        rows.append(
            {
                **values,
                "healthy": run.collapse.feasible,
                "ari": float(adjusted_rand_score(classes[known], found[known])),
                "knn15": knn_accuracy(run.latents.z_mean, classes),
                "scores": {
                    label: None if s is None else s.value * (1 if way == "maximize" else -1)
                    for label, (way, s) in scores.items()
                },
            }
        )
        print(name, values, f"ARI {rows[-1]['ari']:.2f}", flush=True)
    window = session.comparison.largest_window_px
    look = look_at(session.micrograph, session.keypoints, largest_window_px=window)
    alone = adjusted_rand_score(classes[known], look.labels[scan.n_classes][known])
    return {"keypoints": len(classes), "descriptor_alone": float(alone), "rows": rows}


def table(results: dict[str, Any]) -> str:
    """Markdown: Spearman and regret of every reward on every scan, among healthy configurations."""
    labels = list(next(iter(results.values()))["rows"][0]["scores"])
    head = ["scan", "key points", "best ARI", "best k-NN", "descriptor alone", "collapsed", *labels]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, found in results.items():
        rows = [row for row in found["rows"] if row["healthy"]]
        ari = np.array([row["ari"] for row in rows])
        best = max(row["ari"] for row in found["rows"])
        knn = max(row["knn15"] or 0 for row in found["rows"])
        cells = [name, str(found["keypoints"]), f"{best:.2f}", f"{knn:.2f}"]
        cells += [
            f"{found['descriptor_alone']:.2f}",
            f"{len(found['rows']) - len(rows)} of {len(found['rows'])}",
        ]
        for label in labels:
            value = np.array([row["scores"][label] for row in rows], dtype=float)
            if len(rows) < 3 or np.isnan(value).any():
                cells.append("-")
                continue
            rho, regret = spearmanr(value, ari)[0], best - ari[value.argmax()]
            shown = f", {value.max():.2f}" if label == "descriptor_ami" else ""
            cells.append(f"{rho:.2f} / {regret:.2f}{shown}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(WINDOWS), default=list(WINDOWS))
    words = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in words.only:
        if name not in results:
            with tempfile.TemporaryDirectory() as folder:
                results[name] = measure(name, Path(folder))
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
