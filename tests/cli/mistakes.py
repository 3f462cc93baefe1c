"""Commands with something wrong in them, and how the answer to each begins."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from tests.study.tiny import stripes

Prepare = Callable[[Path], object]


@dataclass(frozen=True)
class Bad:
    """A command with something wrong in it, run beside a study folder ``s``."""

    name: str
    command: str
    lines: tuple[str, ...]
    """beginnings of what is printed"""
    pieces: Mapping[str, Any] = field(default_factory=dict)
    prepare: Prepare = lambda place: None


def image(array: Any) -> Prepare:
    return lambda place: np.save(place / "s" / "image.npy", array)


def file(name: str, data: bytes) -> Prepare:
    return lambda place: (place / name).write_bytes(data)


def changed(before: str, after: str) -> Prepare:
    """Another piece of the study file."""

    def change(place: Path) -> None:
        path = place / "s" / "study.toml"
        path.write_text(path.read_text().replace(before, after))

    return change


def optuna_study(name: str) -> Prepare:
    """A study of the same directions that plain Optuna has made, with a trial."""
    return lambda place: optuna.create_study(
        study_name=name,
        storage=f"sqlite:///{place}/s/tiny.db",
        directions=["minimize", "maximize"],
    ).ask()


def with_a_hole() -> Any:
    array = stripes()
    array[3, 4], array[5, 6] = np.nan, np.inf
    return array


IMAGES = [
    Bad(
        "missing image",
        "check s",
        ("image.path: 's/nope.npy' does not exist; give the path of an image",),
        {"image": 'path = "nope.npy"'},
    ),
    Bad(
        "folder as image",
        "check s",
        ("image.path: 's' is a folder, not an image",),
        {"image": 'path = "."'},
    ),
    Bad(
        "image of an unknown format",
        "check s",
        ("image.path: no reader for .toml (study.toml); convert it to one of: .bmp ",),
        {"image": 'path = "study.toml"'},
    ),
    Bad(
        "text as image",
        "optimize s",
        ("image.path: image.npy cannot be read as .npy: ",),
        prepare=file("s/image.npy", b"not an array"),
    ),
    Bad(
        "wrong channel",
        "optimize s",
        ("image.channel: no channel 'phase'; known: image; choose one of the known channels",),
        {"image": 'path = "image.npy"\nchannel = "phase"'},
    ),
    Bad(
        "two channels",
        "check s",
        ("image.channel: the image has 2 channels; name one of: a, b",),
        {"image": 'path = "two.npz"'},
        lambda place: np.savez(place / "s" / "two.npz", a=stripes(), b=stripes()),
    ),
    Bad(
        "NaN in the image",
        "optimize s",
        ("image: 2 of 2304 pixels of channel 'image' are NaN or infinite; crop them away",),
        prepare=image(with_a_hole()),
    ),
    Bad(
        "constant image",
        "optimize s",
        ("image.channel: channel 'image' is constant (3 everywhere); choose a channel",),
        prepare=image(np.full((48, 48), 3.0)),
    ),
    Bad(
        "image smaller than 8 x 8",
        "check s",
        ("image: the image is 5 x 5 px, smaller than 8 x 8; use a larger image",),
        prepare=image(stripes(5)),
    ),
    Bad(
        "image smaller than the window",
        "optimize s",
        ("patches.size_px: the largest window (49 px) does not fit the image (48 x 48 px)",),
        {"search": '"patches.size_px" = { low = 5, high = 49, step = 2 }'},
    ),
    Bad(
        "unknown data set",
        "check s",
        ("image.dataset: unknown data set 'ferroelectric'; ",),
        {"image": 'dataset = "ferroelectric"'},
    ),
]
POINTS = [
    Bad(
        "zero key points",
        "optimize s",
        ("workflow.keypoints: the detector 'canny' found 0 key points, none of them with room",),
        {"keypoints": '{ kind = "canny", sigma_px = 20.0 }'},
    ),
    Bad(
        "fewer points than components need",
        "optimize s",
        ("workflow.keypoints: 49 key points leave 45 for the mixture fit, fewer than the 60 ",),
        {"components": "[1, 20]"},
    ),
    Bad(
        "missing table of points",
        "check s",
        ("workflow.keypoints.path: 'points.csv' cannot be read as CSV: ",),
        {"keypoints": '{ kind = "csv", path = "points.csv" }'},
    ),
    Bad(
        "points outside the image",
        "check s",
        ("workflow.keypoints.path: 1 of 1 positions lie outside the image (48 x 48 px)",),
        {"keypoints": '{ kind = "csv", path = "points.csv" }'},
        file("s/points.csv", b"row_px,col_px\n500,3\n"),
    ),
]
SETTINGS = [
    Bad(
        "unknown kind",
        "check s",
        ("workflow.keypoints.kind: unknown kind 'gird'; did you mean 'grid'?",),
        {"keypoints": '"gird"'},
    ),
    Bad(
        "two mistakes",
        "optimize s",
        (
            "workflow.vae.epocs: unknown setting; did you mean 'epochs'?",
            "optuna.n_trials: input should be greater than 0, got 0",
        ),
        {"vae": "epocs = 2", "n_trials": 0},
    ),
    Bad(
        "no trials at once in the file",
        "check s",
        ("optuna.trials_at_once: input should be greater than 0, got 0",),
        {"at_once": 0},
    ),
    Bad(
        "impossible range",
        "check s",
        ("search.patches.size_px: impossible range: low 7 is above high 5",),
        {"search": '"patches.size_px" = { low = 7, high = 5 }'},
    ),
    Bad(
        "step that misses high",
        "check s",
        ("search.patches.size_px: high 8 is not low plus a whole number of steps; use 7",),
        {"search": '"patches.size_px" = { low = 5, high = 8, step = 2 }'},
    ),
    Bad(
        "reward searched",
        "check s",
        ("search.rewards.0.metric: a reward must stay the same within a study",),
        {"search": '"rewards.0.metric" = { choices = ["mse"] }'},
    ),
    *(
        Bad(
            f"device of {stage} that is not there, {command}",
            command,
            (f"workflow.{stage}.device: device 'cuda:77' is not there (",),
            prepare=changed(before, after),
        )
        for command, stage, before, after in [
            ("optimize s", "vae", '"cpu"', '"cuda:77"'),
            ("check s", "vae", '"cpu"', '"cuda:77"'),
            ("optimize s", "mixture", "n_init = 1", 'device = "cuda:77"'),
            ("check s", "mixture", "n_init = 1", 'device = "cuda:77"'),
            ("run s", "mixture", "n_init = 1", 'device = "cuda:77"'),
            (
                "optimize s",
                "bayesian",
                "rewards",
                'bayesian = { kind = "bgmm", device = "cuda:77" }\nrewards',
            ),
            (
                "run s",
                "density_filter",
                "rewards",
                'density_filter = { kind = "quantile", device = "cuda:77" }\nrewards',
            ),
        ]
    ),
    Bad(
        "wrong override",
        "run s --set vae.widht=3",
        ("workflow.vae.widht: unknown setting; did you mean 'width'?",),
    ),
    Bad(
        "override without a value",
        "check s --set patches.size_px",
        ("cannot understand --set 'patches.size_px'; write --set patches.size_px=13",),
    ),
    Bad(
        "missing plug-in",
        "check s",
        ("plugins: plug-in file 'mine.py' does not exist beside the study file",),
        {"head": 'plugins = ["mine.py"]'},
    ),
]
FILES = [
    Bad("missing study", "optimize nope", ("study 'nope' does not exist; make one with",)),
    Bad("folder without a study", "check .", ("folder '.' holds no study.toml; give",)),
    Bad(
        "image as study",
        "check s/image.npy",
        ("'s/image.npy' is neither a folder nor a .toml file",),
    ),
    Bad(
        "no TOML",
        "optimize s",
        ("study.toml is not valid TOML: ",),
        prepare=file("s/study.toml", b"name = \n[image"),
    ),
    Bad(
        "name longer than a file system allows",
        f"check {'x' * 300}",
        ("[Errno ",),
    ),
    Bad("study that exists", "new s", ("'s/study.toml' exists; choose another name",)),
    Bad(
        "new study below a file",
        "new s/image.npy/x",
        ("argument NAME: ",),
    ),
    Bad(
        "new study of a missing image",
        "new t --image none.h5",
        ("image.path: 'none.h5' does not exist",),
    ),
    Bad(
        "file as output",
        "run s --out s/study.toml",
        ("argument --out: 's/study.toml' is a file, not a folder; see 'vaeopt run --help'",),
    ),
]
STORAGES = [
    Bad(
        "storage that is no URL",
        "optimize s --storage x.db",
        ("optuna.storage: storage 'x.db' is not a URL; write sqlite:///x.db for a SQLite file",),
    ),
    Bad(
        "storage in a missing folder",
        "optimize s --storage sqlite:///no/x.db",
        ("optuna.storage: folder 'no' of the storage does not exist",),
    ),
    Bad(
        "storage of an unknown driver",
        "optimize s --storage nosuchbase://me:secret@localhost/x",
        ("optuna.storage: storage nosuchbase://me:***@localhost/x cannot be opened: ",),
    ),
    Bad(
        "server that is not there",
        "optimize s --storage postgresql://me:secret@localhost:1/x",
        ("optuna.storage: storage postgresql://me:***@localhost:1/x cannot be opened: ",),
    ),
    Bad(
        "text as database",
        "optimize s",
        ("optuna.storage: 's/tiny.db' is not a study database: ",),
        prepare=file("s/tiny.db", b"hello, I am a text " * 50),
    ),
    Bad(
        "study of somebody else",
        "optimize s",
        ("name: study 'tiny' in sqlite:///s/tiny.db was not made by vaeopt; choose another",),
        prepare=optuna_study("tiny"),
    ),
    Bad(
        "study of somebody else looked at",
        "status s",
        ("name: study 'tiny' in sqlite:///s/tiny.db was not made by vaeopt; choose another",),
        prepare=optuna_study("tiny"),
    ),
]
NOT_YET = [
    Bad(
        f"{command.split()[0]} before the first trial",
        command,
        (
            "no study 'tiny' in sqlite:///s/tiny.db yet; make it with 'vaeopt create', "
            "or start it with 'vaeopt optimize'",
        ),
        prepare=optuna_study("other") if "status" in command else lambda place: None,
    )
    for command in (
        "worker s",
        "status s",
        "best s --json",
        "confirm s",
        "rescore s --reward icl",
        "report s",
        "export s --out out",
        "replay s --trial 0",
        "dashboard s",
        "proxy s",
    )
]
WORDS = [
    Bad("no verb", "", ("the following arguments are required: VERB; see 'vaeopt --help'",)),
    Bad("unknown verb", "optimise s", ("argument VERB: invalid choice: 'optimise' (choose from",)),
    Bad("unknown option", "check s --sett a=1", ("unrecognized arguments: --sett a=1; see",)),
    Bad(
        "no port",
        "proxy s --port 70000",
        ("argument --port: expected a port from 1 to 65535, got '70000'; see 'vaeopt proxy",),
    ),
    Bad(
        "no trials",
        "optimize s --n-trials 0",
        ("argument --n-trials: expected a whole number from 1, got '0'; see 'vaeopt optimize",),
    ),
    Bad(
        "trials in words",
        "optimize s --n-trials ten",
        ("argument --n-trials: expected a whole number from 1, got 'ten'; see",),
    ),
    Bad(
        "no trials at once",
        "optimize s --trials-at-once 0",
        ("argument --trials-at-once: expected a whole number from 1, got '0'; see 'vaeopt",),
    ),
    Bad(
        "negative time",
        "optimize s --timeout -1",
        ("argument --timeout: expected seconds above 0, got '-1'; see",),
    ),
    Bad(
        "endless time",
        "optimize s --timeout nan",
        ("argument --timeout: expected seconds above 0, got 'nan'; see",),
    ),
    Bad(
        "tolerance that lets everything pass",
        "replay s --trial 0 --tolerance nan",
        ("argument --tolerance: expected a number from 0, got 'nan'; see",),
    ),
    Bad(
        "no leaders",
        "confirm s --top 0",
        ("argument --top: expected a whole number from 1, got '0'; see 'vaeopt confirm --help'",),
    ),
    Bad(
        "leaders and front",
        "confirm s --top 3 --front",
        ("argument --front: not allowed with argument --top; see 'vaeopt confirm --help'",),
    ),
    Bad("no reward", "rescore s", ("the following arguments are required: --reward; see",)),
    Bad(
        "two orders",
        "best s --weights a=1 --order-by a",
        ("argument --order-by: not allowed with argument --weights; see 'vaeopt best --help'",),
    ),
    Bad("unknown change", "optimize s --accept foo", ("--accept: 'foo' cannot be accepted; ",)),
    Bad("unknown family", "kinds rewards", ("no family 'rewards'; did you mean 'reward'?",)),
    Bad("no output", "export s", ("the following arguments are required: --out; see",)),
]
ALL = [*IMAGES, *POINTS, *SETTINGS, *FILES, *STORAGES, *NOT_YET, *WORDS]
