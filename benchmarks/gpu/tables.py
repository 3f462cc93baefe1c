"""Markdown from results; without any, the empty form with the floors, which are arithmetic."""

from collections.abc import Iterable, Sequence
from typing import Any

from floors import N_CODES, PAPER_WINDOWS_PX, step_floor, sweep_operations

__all__ = ["NOTHING", "render"]

NOTHING = "not measured"
_WINDOWS = (8, 13, 20)
Results = dict[str, Any]


def render(stored: Sequence[Results]) -> str:
    """All tables, device by device; the form alone if nothing is stored."""
    parts = [f"### Floors of a step\n\n{_floors()}"]
    if not stored:
        return "\n\n".join([*parts, "### The bar\n\n" + _bar({}, full=True)])
    for results in stored:
        title = results["device"]
        if results["smoke"]:
            title = f"SMOKE on {title}: tiny sizes, no figures of anything"
        sections = results["sections"]
        full = not results["smoke"]
        parts.append(f"### {title}")
        tables = (
            ("The bar", _bar(sections, full=full)),
            ("Machine", _machine(sections.get("machine", {}))),
            ("Checks", _checks(sections.get("checks", {}))),
            ("The paper's sweep", _sweep(sections)),
            ("Beside pyroVED", _peer(sections.get("peer", {}))),
            ("Steps", _steps(sections)),
            ("Ends of trainings", _equality(sections.get("equality", {}))),
            ("After training", _scoring(sections.get("scoring", {}))),
        )
        parts += [f"#### {name}\n\n{table}" for name, table in tables]
    return "\n\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    if not lines:
        return NOTHING
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines])


def _floors() -> str:
    rows = []
    for model in N_CODES:
        for size in _WINDOWS:
            floor = step_floor(model, size)
            rows.append(
                (
                    model,
                    size,
                    f"{floor.n_weights:,}",
                    f"{floor.encoder_operations / 1e6:.0f}",
                    f"{floor.decoder_operations / 1e6:,.0f}",
                    f"{floor.tanh / 1e6:.2f}",
                    f"{floor.weight_bytes / 1e3:,.0f}",
                    f"{floor.batch_bytes / 1e3:.0f}",
                )
            )
    head = (
        *("model", "px", "weights", "encoder, MFLOP", "decoder, MFLOP"),
        *("tanh, millions", "weights and moments, kB", "batch, kB"),
    )
    whole = sweep_operations() / 1e15
    windows = ", ".join(map(str, PAPER_WINDOWS_PX))
    return (
        f"{_table(head, rows)}\n\nThe paper's sweep, windows {windows} px with each model, 4000 "
        f"patches, 1000 epochs: {whole:.2f} PFLOP."
    )


def _bar(sections: Results, *, full: bool) -> str:
    """The four promises, each with what was measured of it."""
    sweep, peer = sections.get("sweep", {}), sections.get("peer", {}).get("rows", [])
    study = sweep.get("study")
    seconds = NOTHING
    if study:
        seconds = f"{study['scaled_seconds']:.1f} s"
        if study["was_scaled"]:
            seconds += f" (scaled from {study['epochs']} epochs, {study['seconds']:.1f} s)"
    ends = sections.get("equality", {}).get("rows", [])
    within = f"{sum(row['within_noise'] for row in ends)} of {len(ends)} comparisons"
    lines = [
        ("the paper's sweep with all scores", "under 60 s on one H200", seconds),
        ("throughput, trainings stacked, against pyroVED", "100 x", _slowest(peer, stacked=True)),
        ("throughput, one training, against pyroVED", "20 x", _slowest(peer, stacked=False)),
        ("ends within the noise of seeds", "all", within if ends else NOTHING),
    ]
    table = _table(("what", "bar", "measured"), lines)
    return table if full else f"{table}\n\nTiny sizes: these are no figures."


def _slowest(rows: Sequence[Results], *, stacked: bool) -> str:
    """Of the best precision, the least ratio over models and windows, and the greatest."""
    best: dict[tuple[str, int], float] = {}
    for row in rows:
        if row["who"].startswith("ours") and row["who"].endswith(" x 1") is not stacked:
            key = (row["model"], row["window_px"])
            best[key] = max(best.get(key, 0.0), row["times_faster"][0])
    if not best:
        return NOTHING
    return f"{min(best.values()):.1f} x to {max(best.values()):.1f} x"


def _machine(machine: Results) -> str:
    if not machine:
        return NOTHING
    smi, versions = machine.get("nvidia_smi") or {}, machine.get("versions", {})
    rows: list[Sequence[object]] = [
        ("device", smi.get("name", machine["device"])),
        ("driver, CUDA", f"{smi.get('driver_version', 'none')}, {machine.get('cuda')}"),
        ("Python", machine.get("python")),
        *((name, version) for name, version in versions.items()),
    ]
    for row in machine.get("products", []):
        median, low, high = (rate / 1e12 for rate in row["per_s"])
        text = f"{median:.3g} TFLOP/s ({low:.3g} to {high:.3g})"
        rows.append((f"product of {row['size']}^3, {row['precision']}", text))
    for row in machine.get("copies", []):
        median, low, high = (rate / 1e12 for rate in row["per_s"])
        text = f"{median:.3g} TB/s ({low:.3g} to {high:.3g}), read and written"
        rows.append((f"copy of {row['bytes'] / 2**20:.3g} MiB", text))
    return _table(("what", "found"), rows)


def _checks(checks: Results) -> str:
    tests = checks.get("tests", {})
    text = f"Tests for a GPU: {tests.get('ran', 0)} ran, {tests.get('failed', 0)} failed."
    if "error" in tests:
        text += f" {tests['error'].splitlines()[0]}"
    rows = [
        (
            *(row["model"], row["window_px"], row["engine"], row["precision"], row["trainer"]),
            row["epochs"],
            f"{row['largest_difference']:.1e}" if row["largest_difference"] is not None else "",
            "yes" if row["agrees"] else "NO",
        )
        for row in checks.get("curves", [])
    ]
    head = (
        *("model", "px", "engine", "precision", "trained by", "epochs"),
        *("largest difference", "agrees"),
    )
    return f"{text}\n\n{_table(head, rows)}" if checks else NOTHING


def _ceilings(sections: Results) -> dict[str, float]:
    products = sections.get("machine", {}).get("products", [])
    return {row["precision"]: row["per_s"][0] for row in products}


def _floor_us(row: Results, ceilings: dict[str, float]) -> float | None:
    """Operations at the measured rate of products in the precision of the row."""
    # Products of float32 numbers may run on the matrix units in tf32.
    names = ["bf16"] if row["precision"] == "bf16" else ["float32", "tf32"]
    rates = [ceilings[name] for name in names if name in ceilings]
    return row["floor"]["operations"] / max(rates) * 1e6 if rates else None


def _steps(sections: Results) -> str:
    ceilings = _ceilings(sections)
    copies = sections.get("machine", {}).get("copies", [])
    rows = []
    for row in sections.get("steps", {}).get("rows", []):
        median, low, high = row["us"]
        floor = _floor_us(row, ceilings)
        move = row["floor"]["total_bytes"] / copies[0]["per_s"][0] * 1e6 if copies else None
        rows.append(
            (
                *(row["model"], row["window_px"], row["engine"], row["trainer"]),
                *(row["precision"], row["members"]),
                f"{median:.1f} ({low:.1f} to {high:.1f})",
                f"{floor:.2f}" if floor else "",
                f"{move:.2f}" if move else "",
                f"{median / floor:.1f}" if floor else "",
            )
        )
    head = (
        *("model", "px", "engine", "trained by", "precision", "members", "us per member and step"),
        *("floor, operations", "floor, bytes", "x operations"),
    )
    if not rows:
        return NOTHING
    return (
        f"{_table(head, rows)}\n\nThe floor of float32 is that of tf32 products, where those are "
        "faster. That of bytes holds if no weights stay in a cache."
    )


def _peer(peer: Results) -> str:
    if "missing" in peer:
        return f"{NOTHING}: {', '.join(peer['missing'])} not installed"
    rows = []
    for row in peer.get("rows", []):
        us, ratio = row["us"], row["times_faster"]
        rows.append(
            (
                *(row["model"], row["window_px"], row["who"]),
                f"{us[0]:.1f} ({us[1]:.1f} to {us[2]:.1f})",
                f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})",
            )
        )
    return _table(("model", "px", "who", "us per training and step", "x peer"), rows)


def _sweep(sections: Results) -> str:
    sweep, ceilings = sections.get("sweep", {}), _ceilings(sections)
    rows = []
    for row in sweep.get("trainings", []):
        scaled = " (scaled)" if row["was_scaled"] else ""
        rate = ceilings.get("bf16" if row["precision"] == "bf16" else "tf32")
        floor = f"{sweep['operations'] / rate:.2f} s" if rate else ""
        rows.append(
            (
                *(f"{row['trainings']} trainings alone", row["precision"], row["epochs"]),
                f"{row['seconds']:.2f} s",
                f"{row['scaled_seconds']:.2f} s for {row['scaled_to_epochs']} epochs{scaled}",
                floor,
            )
        )
    study = sweep.get("study")
    if study:
        stages = ", ".join(f"{name} {s:.2f}" for name, s in study["stages_s"].items())
        rows.append(
            (
                *(f"study, {study['trials']} trials", "bf16", study["epochs"]),
                f"{study['seconds']:.2f} s: {stages}",
                f"{study['scaled_seconds']:.2f} s" + " (scaled)" * study["was_scaled"],
                "",
            )
        )
    head = ("what", "precision", "epochs", "measured", "all epochs", "floor of the products")
    return _table(head, rows)


def _equality(equality: Results) -> str:
    rows = [
        (
            *(row["model"], row["precision"], row["score"]),
            f"{row['cpu_mean']:.4g} ({row['cpu_sd']:.2g})",
            f"{row['difference']:.2g}",
            "" if row["standard_errors"] is None else f"{row['standard_errors']:.1f}",
            "yes" if row["within_noise"] else "NO",
        )
        for row in equality.get("rows", [])
    ]
    head = (
        *("model", "precision", "score", "processor, mean (sd over seeds)", "difference"),
        *("in standard errors", "within noise"),
    )
    text = _table(head, rows)
    if peer := equality.get("peer"):
        text += (
            f"\n\nLast loss of pyroVED: {peer['peer_mean']:.4f} (sd {peer['peer_sd']:.2g}); ours "
            f"differs by {peer['difference']:.2g}, {peer['standard_errors'] or 0:.1f} standard "
            "errors."
        )
    return text


def _scoring(scoring: Results) -> str:
    rows = []
    for row in scoring.get("rows", []):
        ms = {side: times[0] for side, times in row["ms"].items()}
        device = f"{ms['device']:.2f}" if "device" in ms else "runs on the processor"
        rows.append((row["stage"], row["points"], f"{ms['cpu']:.2f}", device))
    return _table(("stage", "points", "processor, ms", "device, ms"), rows)
