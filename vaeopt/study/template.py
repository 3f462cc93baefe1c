"""A new study folder with a commented study file."""

import json
import os
import re
from pathlib import Path

from vaeopt.core.errors import StudyError
from vaeopt.stages.micrograph.readers import read
from vaeopt.study.file import STUDY_TOML

__all__ = ["write_new_study"]

_TEMPLATE = """\
# A vaeopt study. Check it:  vaeopt check {folder}
#                Run it:    vaeopt optimize {folder}
name = "{name}"

{image}

[workflow]                 # one fixed choice per stage, in the order of the data
# How the VAE trains: 200 epochs of small batches. "quick" takes two fifths of the time; large
# windows and several invariances at once may not be learnt then.
preset         = "thorough"
# Where patches are cut.  All kinds and settings: vaeopt kinds keypoints
keypoints      = {{ kind = "canny", sigma_px = 2.0, spacing_px = 5.0 }}
# The window; 13 is 13 x 13 pixels.
patches        = {{ size_px = 13 }}
# The VAE. invariances: any of "rotation", "translation", "scale".
vae            = {{ latent_dim = 2, invariances = ["rotation"] }}
# Trials whose latents collapse are kept out of the race.   vaeopt kinds latent_filter
latent_filter  = {{ kind = "units" }}
# Sparse points between clusters are left out of the fit.   vaeopt kinds density_filter
density_filter = {{ kind = "quantile", drop = 0.10 }}
# Clusters: one fit per number of components. The reward needs 3 to 6.   vaeopt kinds mixture
mixture        = {{ kind = "gmm", components = [1, 10] }}
# What is optimised: do components agree with those of an untrained descriptor of the windows?
# Best below 0.28: no building blocks. Not for building blocks that differ in orientation alone:
# there, take "reconstruction", "gain" and "spatial-kappa". Several rewards give a Pareto front:
# [ {{ kind = "reconstruction" }}, {{ kind = "descriptor-ami" }} ].    vaeopt kinds reward
rewards        = [ {{ kind = "descriptor-ami" }} ]
# Computed and stored with every trial, but steers nothing: order by any of them with
# vaeopt best {folder} --order-by LABEL
scores         = [ {{ kind = "reconstruction" }}, {{ kind = "gain" }}, {{ kind = "rate" }},
                   {{ kind = "spatial-kappa" }}, {{ kind = "rotation-ami" }} ]

[search]                   # dotted path of any setting above: what it may be
# The largest window is that of the descriptor: it should hold a whole building block.
"patches.size_px" = {{ low = 9, high = 25, step = 4 }}
"vae.invariances" = {{ choices = [[], ["rotation"], ["rotation", "translation"]] }}
"vae.latent_dim"  = {{ low = 2, high = 4 }}
# How strongly latents are pulled together; lower it when trials collapse.
"vae.kl_scale"    = {{ low = 0.0001, high = 0.003, log = true }}

[optuna]
sampler  = {{ kind = "tpe" }}          # vaeopt kinds sampler
n_trials = 50                        # finished trials in all, over all sessions
seed     = 0                         # trial n is reproducible from (seed, n)
"""


def write_new_study(folder: Path, *, image: Path | None) -> Path:
    """Write ``folder/study.toml``; returns its path.

    Args:
        folder: made if it does not exist; its last part names the study.
        image: image file; the rendered demo image if left out.

    Raises:
        StudyError: the folder holds a study already.
        DataError: the image cannot be read.
    """
    path = folder / STUDY_TOML
    if path.exists():
        raise StudyError(f"{str(path)!r} exists", remedy="choose another name")
    text = _TEMPLATE.format(
        name=_name(folder), folder=" ".join(str(folder).split()), image=_image_lines(image, folder)
    )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _name(folder: Path) -> str:
    """The last part of the folder with what a study's name may not hold made a hyphen."""
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name)
    return word.strip("._-")[:100] or "study"


def _quoted(text: str) -> str:
    """A TOML string: quotes and backslashes of file and channel names escaped as in JSON."""
    return json.dumps(text, ensure_ascii=False)


def _image_lines(image: Path | None, folder: Path) -> str:
    """The ``[image]`` table; lists the channels where there are several."""
    clip = "clip_percentiles = [1, 95]      # grey values beyond these are cut [%]"
    if image is None:
        return f'[image]\ndataset = "ferroelectric-domains"   # or: path = "scan.h5"\n{clip}'
    scan = read(image)
    names = list(scan.channels)
    amplitude = [name for name in names if name.lower().startswith("amplitude")]
    channel = (amplitude or names)[0]
    others = f"   # one of: {', '.join(names)}" if len(names) > 1 else ""
    lines = [
        "[image]",
        f"path = {_quoted(_relative(image, folder))}",
        f"channel = {_quoted(channel)}{others}",
        clip,
    ]
    if scan.pixel_size_nm is None:
        lines.append("# pixel_size_nm = 1.0             # the file does not say")
    return "\n".join(lines)


def _relative(image: Path, folder: Path) -> str:
    """The image as seen from the study folder, with forward slashes."""
    # Path.relative_to cannot walk up before Python 3.12.
    return Path(os.path.relpath(image.resolve(), folder.resolve())).as_posix()
