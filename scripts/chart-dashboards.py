"""Draws each dashboard of grafana/dashboards into one picture. Run by scripts/chart-dashboards."""

import json
import re
import sys
import time
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import matplotlib
from PIL import Image

matplotlib.use("Agg")
import matplotlib.dates as dates
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter

PROMETHEUS, MINUTES, FOLDER = sys.argv[1].rstrip("/"), float(sys.argv[2]), Path(sys.argv[3])
END = time.time()
START = END - MINUTES * 60
STEP = max(5, int(MINUTES * 60 / 180))
# Height of a row of Grafana's grid, width of a column; inches.
ROW, COLUMN = 0.38, 0.66
COLOURS = ["#73bf69", "#5794f2", "#f2cc0c", "#ff780a", "#f2495c", "#b877d9", "#37a2eb", "#8ab8ff", "#c8f2c2", "#ffa6b0"]


def ask(path, **parameters):
    url = f"{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)["data"]["result"]


def filled_in(query):
    return query.replace("$__rate_interval", "1m").replace("$queue", ".*")


def legend(target, metric):
    form = target.get("legendFormat", "__auto")
    if form == "__auto":
        labels = ", ".join(f"{key}={value}" for key, value in metric.items() if key != "__name__")
        return labels or metric.get("__name__", "value")
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: metric.get(match[1], ""), form)


def digits(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def scaled(value, base, names):
    for name in names[:-1]:
        if abs(value) < base:
            return f"{digits(value)} {name}".rstrip()
        value /= base
    return f"{digits(value)} {names[-1]}"


def formatted(value, unit):
    """A number in its unit, as Grafana writes it."""
    if value != value:
        return "no data"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        for name, seconds in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1), ("ms", 0.001), ("µs", 1e-6)):
            if abs(value) >= seconds:
                return f"{digits(value / seconds)} {name}"
        return "0 s"
    if unit == "bytes":
        return scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"])
    suffix = {"reqps": " req/s", "ops": " ops/s", "opm": " ops/min"}.get(unit, "")
    return scaled(value, 1000, ["", "K", "M", "G"]) + suffix


def draw_series(axes, panel, defaults):
    unit, custom = defaults.get("unit", "short"), defaults.get("custom", {})
    lines = []
    for target in panel["targets"]:
        for series in ask("query_range", query=filled_in(target["expr"]), start=START, end=END, step=STEP):
            times = [datetime.fromtimestamp(float(at), timezone.utc) for at, _ in series["values"]]
            lines.append((legend(target, series["metric"]), times, [float(value) for _, value in series["values"]]))
    if not lines:
        axes.text(0.5, 0.5, defaults.get("noValue", "no data"), transform=axes.transAxes, ha="center", color="#888")
    stacked = "stacking" in custom
    below = {}
    for number, (name, times, values) in enumerate(sorted(lines, key=lambda line: line[0])):
        colour = COLOURS[number % len(COLOURS)]
        name = name if len(name) <= 30 else f"{name[:29]}…"
        label = f"{name}  {formatted(values[-1], unit)}, max {formatted(max(values), unit)}"
        if stacked:
            lower = [below.get(at, 0.0) for at in times]
            values = [low + value for low, value in zip(lower, values)]
            below.update(zip(times, values))
            axes.fill_between(times, lower, values, color=colour, alpha=0.35, linewidth=0)
        elif custom.get("fillOpacity"):
            axes.fill_between(times, values, color=colour, alpha=0.08, linewidth=0)
        axes.plot(times, values, color=colour, linewidth=1, label=label)
    if custom.get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=defaults.get("min", 0), top=defaults.get("max"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value, unit)))
    axes.minorticks_off()
    axes.set_xlim(datetime.fromtimestamp(START, timezone.utc), datetime.fromtimestamp(END, timezone.utc))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
    axes.grid(color="#ddd", linewidth=0.5)
    axes.tick_params(labelsize=6, length=2)
    if lines:
        axes.legend(fontsize=5.5, handlelength=1, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, borderaxespad=0)


def colour_of(value, thresholds):
    colour = "green"
    for step in thresholds.get("steps", []):
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return {"green": "#73bf69", "orange": "#ff780a", "red": "#f2495c"}.get(colour, "#73bf69")


def draw_number(axes, panel, defaults):
    result = ask("query", query=filled_in(panel["targets"][0]["expr"]), time=END)
    value = float(result[0]["value"][1]) if result else float("nan")
    axes.axis("off")
    colour = colour_of(value, defaults.get("thresholds", {}))
    axes.text(0.5, 0.45, formatted(value, defaults.get("unit", "short")), ha="center", va="center", fontsize=13, color=colour)


def draw_table(axes, panel, _):
    axes.axis("off")
    rows = []
    for target in panel["targets"]:
        for series in ask("query", query=filled_in(target["expr"]), time=END):
            rows.append([*series["metric"].values(), series["value"][1]])
            columns = [*series["metric"].keys(), "value"]
    if rows:
        table = axes.table(cellText=rows, colLabels=columns, loc="center", cellLoc="left")
        table.auto_set_font_size(False)
        table.set_fontsize(6)


DRAWN = {"timeseries": draw_series, "stat": draw_number, "table": draw_table}


def draw(board):
    panels = [panel for panel in board["panels"] if panel.get("datasource", {}).get("uid") == "avalon-prometheus"]
    panels = [panel for panel in panels if panel["type"] in DRAWN]
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * COLUMN, bottom * ROW + 0.5
    figure = plt.figure(figsize=(width, height), dpi=90)
    figure.text(0.01, 1 - 0.3 / height, board["title"], fontsize=11, weight="bold")
    for panel in panels:
        place, defaults = panel["gridPos"], panel["fieldConfig"]["defaults"]
        # Room for the numbers on the left, the legend on the right, the title above.
        left, right = (0.72, 2.5) if panel["type"] == "timeseries" else (0.1, 0.1)
        top = height - 0.5 - place["y"] * ROW
        axes = figure.add_axes([
            (place["x"] * COLUMN + left) / width,
            (top - place["h"] * ROW + 0.28) / height,
            (place["w"] * COLUMN - left - right) / width,
            (place["h"] * ROW - 0.62) / height,
        ])
        axes.set_title(panel["title"], fontsize=7.5, loc="left" if panel["type"] != "stat" else "center")
        DRAWN[panel["type"]](axes, panel, defaults)
    return figure


FOLDER.mkdir(parents=True, exist_ok=True)
for file in sorted(Path("grafana/dashboards").glob("*.json")):
    board = json.loads(file.read_text())
    picture = FOLDER / f"{file.stem}.png"
    draw(board).savefig(picture)
    plt.close("all")
    # A chart has few colours: a palette makes the file a third as large.
    Image.open(picture).convert("RGB").quantize(96).save(picture, optimize=True)
    print(picture)
