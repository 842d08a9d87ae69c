"""Renders each dashboard of grafana/dashboards as one image. Run by scripts/chart-dashboards."""

import csv
import json
import math
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import matplotlib
from PIL import Image

matplotlib.use("Agg")
# The service counts days in Beijing time.
matplotlib.rcParams["timezone"] = "Asia/Shanghai"
import matplotlib.dates as dates
import matplotlib.pyplot as plt
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator

PROMETHEUS, MINUTES, FOLDER = sys.argv[1].rstrip("/"), float(sys.argv[2]), Path(sys.argv[3])
POSTGRES = sys.argv[4]
END = time.time()
START = END - MINUTES * 60
STEP = max(5, int(MINUTES * 60 / 180))
# Row height and column width of Grafana's grid, in inches.
ROW, COLUMN = 0.38, 0.66
COLOURS = ["#73bf69", "#5794f2", "#f2cc0c", "#ff780a", "#f2495c", "#b877d9", "#37a2eb", "#8ab8ff", "#c8f2c2", "#ffa6b0"]
# Tick distances on axes whose unit is not decimal, for large values.
STEPS = {
    "s": [10, 30, 60, 300, 600, 1800, 3600, 21600, *(days * 86400 for days in (1, 2, 5, 10, 30, 100, 250, 1000))],
    "bytes": [2**power for power in range(10, 45)],
}


def query_api(path, **parameters):
    url = f"{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url) as response:
        return json.load(response)["data"]["result"]


def substituted(query):
    return query.replace("$__rate_interval", "1m").replace("$queue", ".*")


def start_of(panel):
    """Start of the panel's time range, which `timeFrom` (such as 30d) may override."""
    days = re.fullmatch(r"(\d+)d", panel.get("timeFrom", ""))
    return END - int(days[1]) * 86400 if days else START


def table(panel, query, variables):
    """Columns and rows of a Postgres query, with Grafana's macros and the dashboard's variables substituted."""
    variables = {f"${{{name}}}": value for name, value in variables.items()}
    macros = {"$__unixEpochFrom()": f"{start_of(panel):.0f}", "$__unixEpochTo()": f"{END:.0f}"}
    for word, value in (macros | variables).items():
        query = query.replace(word, value)
    command = ["psql", "--no-psqlrc", "--quiet", "--csv", f"--command={query}", POSTGRES]
    output = subprocess.run(command, env=os.environ | {"PGTZ": "UTC"}, check=True, capture_output=True, text=True)
    columns, *rows = csv.reader(output.stdout.splitlines(keepends=True))
    return columns, rows


def series_of(panel, variables):
    """Name, times and values of each series."""
    for target in panel["targets"]:
        if "rawSql" in target:
            columns, rows = table(panel, target["rawSql"], variables)
            for number, name in enumerate(columns[1:], start=1):
                known = [row for row in rows if row[number]]
                yield name, [datetime.fromisoformat(row[0]) for row in known], [float(row[number]) for row in known]
            continue
        for series in query_api("query_range", query=substituted(target["expr"]), start=START, end=END, step=STEP):
            times = [datetime.fromtimestamp(float(at), timezone.utc) for at, _ in series["values"]]
            yield legend(target, series["metric"]), times, [float(value) for _, value in series["values"]]


def settings(panel, name):
    """The panel's defaults with its overrides for the series or column of that name."""
    found = dict(panel["fieldConfig"]["defaults"])
    for override in panel["fieldConfig"]["overrides"]:
        kind, wanted = override["matcher"]["id"], override["matcher"]["options"]
        if wanted == name if kind == "byName" else re.search(wanted.strip("/"), name):
            found |= {setting["id"]: setting["value"] for setting in override["properties"]}
    return found


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
    """A number with its unit, as Grafana formats it."""
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


def draw_series(axes, panel, defaults, variables):
    custom = defaults.get("custom", {})
    drawn = sorted((line for line in series_of(panel, variables) if line[1]), key=lambda line: line[0])
    if not drawn:
        axes.text(0.5, 0.5, defaults.get("noValue", "no data"), transform=axes.transAxes, ha="center", color="#888")
    handles, labels, below, right = [], [], {}, None
    for number, (name, times, values) in enumerate(drawn):
        colour, own, on = COLOURS[number % len(COLOURS)], settings(panel, name), axes
        unit = own.get("unit", "short")
        if own.get("custom.axisPlacement") == "right":
            right, right_settings = right or axes.twinx(), own
            on = right
        known = [value for value in values if not math.isnan(value)]
        if not known:
            continue
        name = name if len(name) <= 30 else f"{name[:29]}…"
        labels.append(f"{name}  {formatted(values[-1], unit)}, max {formatted(max(known), unit)}")
        if custom.get("drawStyle") == "bars":
            # The bars of one day side by side.
            width = 0.8 / len(drawn)
            at = dates.date2num(times) + (number - (len(drawn) - 1) / 2) * width
            handles.append(on.bar(at, values, width, color=colour, alpha=custom["fillOpacity"] / 100))
            continue
        if "stacking" in custom:
            lower = [below.get(at, 0.0) for at in times]
            values = [low + value for low, value in zip(lower, values)]
            below.update(zip(times, values))
            on.fill_between(times, lower, values, color=colour, alpha=0.35, linewidth=0)
        elif custom.get("fillOpacity"):
            on.fill_between(times, values, color=colour, alpha=0.08, linewidth=0)
        handles += on.plot(times, values, color=colour, linewidth=1)
    shape(axes, defaults)
    if right:
        shape(right, right_settings)
    begin = start_of(panel)
    axes.set_xlim(*(datetime.fromtimestamp(at, timezone.utc) for at in (begin, END)))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M" if begin == START else "%m-%d"))
    axes.grid(color="#ddd", linewidth=0.5)
    beside = {"loc": "upper left", "bbox_to_anchor": (1.12 if right else 1.01, 1), "borderaxespad": 0}
    # Only what fits; Grafana scrolls.
    room = int(panel["gridPos"]["h"] * ROW / 0.13) - 2
    if len(labels) > room:
        labels = [*labels[: room - 1], f"… and {len(labels) - room + 1} more"]
        handles = [*handles[: room - 1], Patch(alpha=0)]
    axes.legend(handles, labels, fontsize=5.5, handlelength=1, frameon=False, **beside)


def shape(axes, setting):
    """Scales and formats the value axis once all series are drawn."""
    unit = setting.get("unit", "short")
    if setting.get("custom", {}).get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
    else:
        # Headroom, so that the maximum is not drawn on the frame.
        top = setting.get("max", axes.dataLim.ymax) * 1.04
        axes.set_ylim(bottom=setting.get("min", 0), top=top if 0 < top < math.inf else 1)
        step = next((step for step in STEPS.get(unit, []) if top / 7 < step), math.inf)
        if step < top:
            axes.yaxis.set_major_locator(MultipleLocator(step))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatted(value, unit)))
    axes.minorticks_off()
    axes.tick_params(labelsize=6, length=2)


def colour_of(value, thresholds):
    colour = "green"
    for step in thresholds.get("steps", []):
        if step["value"] is None or value >= step["value"]:
            colour = step["color"]
    return {"green": "#73bf69", "orange": "#ff780a", "red": "#f2495c"}.get(colour, "#73bf69")


def draw_number(axes, panel, defaults, _):
    result = query_api("query", query=substituted(panel["targets"][0]["expr"]), time=END)
    value = float(result[0]["value"][1]) if result else float("nan")
    unit = defaults.get("unit", "short")
    if "decimals" in defaults:
        value = round(value, defaults["decimals"] + (2 if unit == "percentunit" else 0))
    axes.axis("off")
    colour = colour_of(value, defaults.get("thresholds", {}))
    axes.text(0.5, 0.45, formatted(value, unit), ha="center", va="center", fontsize=13, color=colour)


def draw_table(axes, panel, _, variables):
    axes.axis("off")
    target, rows = panel["targets"][0], []
    if "rawSql" in target:
        columns, rows = table(panel, target["rawSql"], variables)
        units = [settings(panel, column).get("unit", "short") for column in columns]
        rows = [[shown(word, unit) for word, unit in zip(row, units)] for row in rows]
    else:
        for series in query_api("query", query=substituted(target["expr"]), time=END):
            rows.append([*series["metric"].values(), series["value"][1]])
            columns = [*series["metric"].keys(), "value"]
    # Only what fits; Grafana scrolls.
    rows = rows[: int(panel["gridPos"]["h"] * ROW / 0.17) - 4]
    if rows:
        look = {"loc": "upper center", "colLoc": "left", "cellLoc": "left", "edges": "horizontal"}
        grid = axes.table(cellText=rows, colLabels=columns, **look)
        grid.auto_set_font_size(False)
        grid.set_fontsize(6)


def shown(word, unit):
    """A table cell: a number with its unit, or the text itself."""
    return formatted(float(word), unit) if re.fullmatch(r"-?[\d.]+(e-?\d+)?", word) else word


def draw_bars(axes, panel, defaults, variables):
    _, rows = table(panel, panel["targets"][0]["rawSql"], variables)
    names, values = [row[0] for row in rows], [float(row[1]) for row in rows]
    bars = axes.barh(names, values, color=COLOURS[0])
    axes.bar_label(bars, [formatted(value, defaults.get("unit", "short")) for value in values], fontsize=7, padding=4)
    axes.invert_yaxis()
    axes.xaxis.set_visible(False)
    axes.tick_params(labelsize=6, length=0)
    axes.spines[:].set_visible(False)


DRAWN = {"timeseries": draw_series, "stat": draw_number, "table": draw_table, "bargauge": draw_bars}
# Margins for the tick labels on the left and the legend on the right, in inches.
MARGINS = {"timeseries": (0.72, 2.5), "bargauge": (1.2, 0.6)}
SOURCES = {"avalon-prometheus", "avalon-postgres"} if POSTGRES else {"avalon-prometheus"}


def draw(board):
    panels = [panel for panel in board["panels"] if panel.get("datasource", {}).get("uid") in SOURCES]
    panels = [panel for panel in panels if panel["type"] in DRAWN]
    variables = {one["name"]: one["current"]["value"] for one in board["templating"]["list"]}
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * COLUMN, bottom * ROW + 0.5
    figure = plt.figure(figsize=(width, height), dpi=90)
    figure.text(0.01, 1 - 0.3 / height, board["title"], fontsize=11, weight="bold")
    for panel in panels:
        place, defaults = panel["gridPos"], panel["fieldConfig"]["defaults"]
        left, right = MARGINS.get(panel["type"], (0.1, 0.1))
        top = height - 0.5 - place["y"] * ROW
        axes = figure.add_axes([
            (place["x"] * COLUMN + left) / width,
            (top - place["h"] * ROW + 0.28) / height,
            (place["w"] * COLUMN - left - right) / width,
            (place["h"] * ROW - 0.62) / height,
        ])
        axes.set_title(panel["title"], fontsize=7.5, loc="left" if panel["type"] != "stat" else "center")
        DRAWN[panel["type"]](axes, panel, defaults, variables)
    return figure


FOLDER.mkdir(parents=True, exist_ok=True)
for file in sorted(Path("grafana/dashboards").glob("*.json")):
    board = json.loads(file.read_text())
    image = FOLDER / f"{file.stem}.png"
    draw(board).savefig(image)
    plt.close("all")
    # Charts have few colours: a palette reduces the file to a third.
    Image.open(image).convert("RGB").quantize(128, kmeans=3).save(image, optimize=True)
    print(image)
