"""The docs: what they show runs, what they name exists, what they tabulate is the code's."""

import argparse
import importlib.util
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vaeopt.study.file  # noqa: F401  # importing it declares all families
from vaeopt.cli.words import parser as _parser
from vaeopt.core.settings import Plugin, Settings
from vaeopt.datasets import RENDERED
from vaeopt.stages.micrograph import ImageSettings
from vaeopt.stages.patches import PatchSettings
from vaeopt.stages.rewards import Reward
from vaeopt.stages.rewards.composite import Term
from vaeopt.stages.vae import VaeSettings
from vaeopt.study.asking.samplers import Sampler
from vaeopt.study.check import check
from vaeopt.study.file import OptunaSettings, StudySettings, open_study
from vaeopt.study.space import SearchEntry
from vaeopt.truth.columns import ScoreSettings
from vaeopt.truth.file import Family, Scenes, Trainings, TruthSettings, open_truth
from vaeopt.workflow import Workflow

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# The tutorial is a notebook, with tests of its own; links lead to the executed one.
TUTORIAL = DOCS / "tutorial.md"
PAGES = [*sorted({*DOCS.rglob("*.md")} - {TUTORIAL}), ROOT / "README.md"]
FAMILY_PAGES = {
    "keypoints": "keypoints.md",
    "latent_filter": "latent_filter.md",
    "density_filter": "density_filter.md",
    "mixture": "mixture.md",
}
# Rewards have a page per family of scores.
REWARD_PAGES = sorted(DOCS.glob("rewards/*.md"))
TABLES: list[tuple[str, str, type[Settings]]] = [
    ("study-file.md", "Top level", StudySettings),
    ("study-file.md", "`[workflow]`", Workflow),
    ("study-file.md", "`[search]`", SearchEntry),
    ("study-file.md", "`[optuna]`", OptunaSettings),
    ("micrograph.md", "Settings of `image`", ImageSettings),
    ("patches.md", "Settings of `patches`", PatchSettings),
    ("vae.md", "Settings of `vae`", VaeSettings),
    ("rewards/composite.md", "One term", Term),
    ("truth.md", "`truth.toml`", TruthSettings),
    ("truth.md", "`[scenes]`", Scenes),
    ("truth.md", "One family", Family),
    ("truth.md", "`[trainings]`", Trainings),
    ("truth.md", "`[scores]`", ScoreSettings),
]
NOT_FIELDS = {"preset"}  # read before the settings are made


@dataclass(frozen=True)
class Fence:
    """One fenced block."""

    info: str
    text: str
    line: int
    """of its first line in the page, from 1"""


def _fences(page: Path) -> list[Fence]:
    found: list[Fence] = []
    info, start, inside = "", 0, False
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.startswith("```"):
            continue
        if not inside:
            info, start = line[3:].strip(), number + 1
        else:
            found.append(Fence(info, "\n".join(lines[start - 1 : number - 1]) + "\n", start))
        inside = not inside
    assert not inside, f"{page.name}: a fence is not closed"
    return found


def _prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def _everything() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))


def _shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _builtin(family: type[Plugin]) -> dict[str, type[Plugin]]:
    """Members by every name they have; plug-ins that other tests have declared left out."""
    members = family.registry.items()
    return {name: cls for name, cls in members if cls.__module__.startswith("vaeopt.")}


# ---- blocks ------------------------------------------------------------------------------------


@pytest.fixture
def kinds_as_they_were() -> Iterator[None]:
    before = {name: dict(family.registry) for name, family in Plugin.families.items()}
    yield
    for name, family in Plugin.families.items():
        family.registry.clear()
        family.registry.update(before[name])


def _plugin_file(text: str) -> str | None:
    """The name of the file that a block shows, from its first line."""
    match = re.match(r"# (\w+\.py)\n", text)
    return match[1] if match else None


def _load_plugin(path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Declare the kinds of a plug-in file as a study would; returns the name of the module."""
    name = f"vaeopt_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return name


def _public(module: ModuleType) -> dict[str, Any]:
    return {key: value for key, value in vars(module).items() if not key.startswith("_")}


def _check_study(fence: Fence, path: Path) -> None:
    path.write_text(fence.text, encoding="utf-8")
    if "\n[scenes]" in fence.text:
        open_truth(path)
        return
    file = open_study(path)
    if file.settings.image.dataset in RENDERED:
        *_, last = check(file)
        assert last.endswith("is fine"), last


@pytest.mark.usefixtures("kinds_as_they_were")
@pytest.mark.parametrize("page", PAGES, ids=_shown)
def test_every_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)
    module = ModuleType(f"page_{page.stem}")
    # A real file, so that classes of a block can be traced to their source, as in a script.
    script = tmp_path / f"page_{page.stem}.py"
    module.__file__ = str(script)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    lines = [""] * page.read_text(encoding="utf-8").count("\n")
    plugins: list[str] = []
    for fence in _fences(page):
        first = re.sub(r"\A(#.*\n|\n)*", "", fence.text)
        if fence.info == "toml" and first.startswith("name ="):
            _check_study(fence, tmp_path / f"study_{fence.line}.toml")
            for declared in plugins:  # opening a study has made their classes anew
                vars(module).update(_public(sys.modules[declared]))
        elif fence.info == "python" and (name := _plugin_file(fence.text)):
            (tmp_path / name).write_text(fence.text, encoding="utf-8")
            plugins.append(_load_plugin(tmp_path / name, monkeypatch))
            vars(module).update(_public(sys.modules[plugins[-1]]))
        elif fence.info == "python":
            text = fence.text.splitlines()
            lines[fence.line - 1 : fence.line - 1 + len(text)] = text
            script.write_text("\n".join(lines), encoding="utf-8")
            code = compile("\n" * (fence.line - 1) + fence.text, str(script), "exec")
            exec(code, vars(module))  # noqa: S102  # our own pages


@pytest.mark.parametrize("page", PAGES, ids=_shown)
def test_blocks_say_what_they_are(page: Path) -> None:
    known = {"python", "python no-run", "toml", "sh", ""}
    if page.parent.name == "reference":  # made from the docstrings when the site is built
        known |= {"{eval-rst}"}
    assert {fence.info for fence in _fences(page)} <= known


def _commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for fence in _fences(page):
            if fence.info in ("sh", ""):
                for line in fence.text.splitlines():
                    command = line.strip().removeprefix(".venv/bin/")
                    if command.startswith("vaeopt "):
                        found.append((page.name, command))
    return found


@pytest.mark.parametrize(("page", "command"), _commands())
def test_every_command_line_is_understood(page: str, command: str) -> None:
    try:
        _parser().parse_args(shlex.split(command, comments=True)[1:])
    except SystemExit as error:
        pytest.fail(f"{page}: {command!r} ends with {error.code}")


# ---- names -------------------------------------------------------------------------------------


def _slugs(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    found: set[str] = set()
    for title in re.findall(r"^#+ (.*)$", _prose(page), flags=re.M):
        words = re.sub(r"[^\w\- ]", "", title.lower())
        found.add(words.strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=_shown)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        if not goal.exists() or (anchor and anchor not in _slugs(goal)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=_shown)
def test_every_path_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"(?<![\w/.-])(?:docs|vaeopt|studies|tests|benchmarks)/[\w./-]+", text)
    assert [path for path in paths if not (ROOT / path.rstrip(".")).exists()] == []


@pytest.mark.parametrize(
    "page", sorted({*DOCS.rglob("*.md")} - {*REWARD_PAGES, TUTORIAL}), ids=_shown
)
def test_every_page_is_on_the_map(page: Path) -> None:
    link = f"]({page.relative_to(DOCS).as_posix()})"
    assert page.name == "index.md" or link in (DOCS / "index.md").read_text()


@pytest.mark.parametrize("page", REWARD_PAGES, ids=_shown)
def test_every_family_of_rewards_is_on_the_page_of_rewards(page: Path) -> None:
    assert f"](rewards/{page.name})" in (DOCS / "rewards.md").read_text()


@pytest.mark.parametrize("family", sorted(Plugin.families))
def test_every_kind_is_mentioned(family: str) -> None:
    text = _everything()
    names = _builtin(Plugin.families[family])
    assert [name for name in names if f"`{name}`" not in text] == []


def _verbs() -> dict[str, argparse.ArgumentParser]:
    actions = _parser()._actions
    (verbs,) = (a.choices for a in actions if isinstance(a, argparse._SubParsersAction))
    return dict(verbs)


def test_every_verb_and_option_is_mentioned() -> None:
    text = _everything()
    for verb, parser in _verbs().items():
        assert f"`vaeopt {verb}" in text, f"vaeopt {verb}"
        options = {option for action in parser._actions for option in action.option_strings}
        unknown = [o for o in options - {"-h", "--help"} if f"`{o}" not in text]
        assert unknown == [], f"vaeopt {verb}"


# ---- tables ------------------------------------------------------------------------------------


def _section(page: Path, title: str) -> str:
    """What stands between a heading and the next one."""
    found = re.search(rf"^#+ {re.escape(title)}$(.*?)(?=^#|\Z)", _prose(page), flags=re.M | re.S)
    assert found, f"{page.name} has no section {title!r}"
    return found[1]


def _rows(section: str) -> list[list[str]]:
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows]


def _settings_table(section: str) -> dict[str, str]:
    """Default by setting, of tables that begin with the columns setting (or key) and default."""
    found: dict[str, str] = {}
    ours = False
    for line in section.splitlines():
        if not line.startswith("|"):
            ours = False
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[0] in ("setting", "key") and cells[1] == "default":
            ours = True
        elif ours and cells[0].startswith("`"):
            found[cells[0].strip("`")] = cells[1]
    return found


def _plain(default: object) -> Any:
    table = default.to_table() if isinstance(default, Settings) else default
    return json.loads(json.dumps(table, default=lambda inner: inner.to_table()))


def _same(cell: str, cls: type[Settings], name: str) -> bool:
    """Whether a cell gives the default; words without backticks are left to the reader."""
    field = cls.model_fields[name]
    if cell == "required" or field.is_required():
        return cell == "required" and field.is_required()
    if cell == "none" or field.default is None:
        return cell == "none" and field.default is None
    if not re.fullmatch(r"`[^`]*`", cell):
        return True
    try:
        value = tomllib.loads(f"value = {cell.strip('`')}")["value"]
    except tomllib.TOMLDecodeError:
        return isinstance(field.default, Plugin) and cell.strip("`") == field.default.kind
    default = field.get_default(call_default_factory=True)
    return bool(value == _plain(default))


def _page_of(reward: type[Plugin]) -> str:
    """The page with a section on this reward."""
    heading = re.compile(rf"^#+ `{re.escape(reward.kind)}`$", flags=re.M)
    pages = [page for page in REWARD_PAGES if heading.search(_prose(page))]
    return f"rewards/{pages[0].name}" if pages else "rewards.md"


def _tables() -> list[tuple[str, str, type[Settings]]]:
    found = list(TABLES)
    for family, page in FAMILY_PAGES.items():
        base = Plugin.families[family]
        found += [(page, f"`{cls.kind}`", cls) for cls in set(_builtin(base).values())]
    found += [(_page_of(cls), f"`{cls.kind}`", cls) for cls in set(_builtin(Reward).values())]
    return sorted(found, key=lambda entry: entry[:2])


@pytest.mark.parametrize(("page", "title", "cls"), _tables())
def test_a_table_of_settings_is_that_of_the_code(
    page: str, title: str, cls: type[Settings]
) -> None:
    table = _settings_table(_section(DOCS / page, title))
    assert set(table) - NOT_FIELDS == set(cls.model_fields)
    wrong = [n for n in cls.model_fields if not _same(table[n], cls, n)]
    assert wrong == [], {name: (table[name], cls.model_fields[name].default) for name in wrong}


@pytest.mark.parametrize("kind", sorted(_builtin(Sampler)))
def test_the_table_of_samplers_is_that_of_the_code(kind: str) -> None:
    rows = {row[0]: row for row in _rows(_section(DOCS / "study-file.md", "Samplers"))}
    row = rows[f"`{kind}`"]
    for name, field in Sampler.of_kind(kind).model_fields.items():
        assert f"`{name}`" in row
        assert f"`{field.default}`" in row


@pytest.mark.parametrize("kind", sorted(_builtin(Reward)))
def test_the_table_of_rewards_is_that_of_the_code(kind: str) -> None:
    cls = Reward.of_kind(kind)
    rows = {row[0]: row for row in _rows(_section(DOCS / "rewards.md", "Rewards"))}
    _, label, direction, across, _ = rows[f"`{cls.kind}`"]
    assert direction == cls.direction
    if kind == "composite":  # named, and as comparable, as the study says
        assert across == "as its parts"
        return
    assert f"`{cls().label.removesuffix('_product')}" in label
    assert (across == "yes") is cls.compares_across_latent_dim
