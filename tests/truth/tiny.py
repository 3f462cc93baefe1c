"""A benchmark that is done in seconds, for the tests of the truth floor and above."""

from pathlib import Path

__all__ = ["truth_folder", "truth_text"]

FAMILIES = (
    '{ dataset = "lattice", window_px = [5, 9] }',
    '{ dataset = "noise", window_px = [5, 9] }',
)


def truth_text(
    *,
    seeds: str = "[1]",
    families: tuple[str, ...] = FAMILIES,
    workflow: str = "",
    mixture: str = '{ kind = "gmm", components = [1, 4], n_init = 1, tol = 1e-3 }',
    epochs: int = 2,
    search: str = '"vae.latent_dim" = { choices = [1, 2] }',
    trainings: str = "seeds = 2",
    scores: str = "",
    rest: str = "",
) -> str:
    """A truth file; every argument is a piece of TOML."""
    return f"""\
name = "tiny"
[scenes]
seeds = {seeds}
families = [{", ".join(families)}]
[workflow]
keypoints = "given"
vae = {{ width = 8, depth = 1, device = "cpu", epochs = {epochs}, batch_size = 256 }}
mixture = {mixture}
{workflow}
[search]
{search}
[trainings]
{trainings}
[scores]
components = [3, 4]
bayesian = false
without = ["bootstrap-stability", "persistence"]
{scores}
{rest}
"""


def truth_folder(place: Path, text: str | None = None) -> Path:
    """A folder with a truth file."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "truth.toml").write_text(truth_text() if text is None else text)
    return place
