"""The table of figures beside peers, from what run.sh has left in a folder.

usage: table.py FOLDER [README]     prints it, or writes it between the lines of README that name this program

Figures of a peer that cannot be measured again here are taken from earlier.json, and marked; so are those of fovea whose
"build" is told. A row that nobody was asked for is left out.
"""
import glob
import json
import math
import os
import sys

import rows

BEGIN, END = "<!-- begin: tests/bench/peers/table.py -->", "<!-- end: tests/bench/peers/table.py -->"
PEERS = {"transformers": "transformers", "attention": "PyTorch", "vllm": "vLLM"}


def load(path):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def reason(folder, name):
    try:
        with open(f"{folder}/{name}.why") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def figure_of(folder, shape, command, row):
    for figure in load(f"{folder}/fovea-{shape}-{command}.json").get("figures", []):
        if figure["name"] == row.figure and row.what in figure["what"]:
            return figure
    raise LookupError(reason(folder, f"fovea-{shape}-{command}") or "not measured")


def attention_rate(figure, shape, is_backward):
    """Of the text alone, in the time of all calls, those of the vision tower among them."""
    text, size = rows.TEXTS[shape], rows.sizes(shape)
    name, n = ("attention_grad", size["sequences"]) if is_backward else ("attention", size["batch"])
    pairs = size["length"] * (size["length"] + 1) / 2
    flops = 4 * n * text["num_hidden_layers"] * text["hidden_size"] * pairs * (2.5 if is_backward else 1)
    seconds = sum(op["seconds"] for op in figure.get("operations", []) if op["name"] == name)
    if seconds == 0:
        raise LookupError("not measured")
    return number(flops / seconds * 1e-12)


def tree_gain(folder, shape):
    """How many times the samples a second; the first figure is of samples behind prompts of their own."""
    figures = load(f"{folder}/fovea-{shape}-update.json").get("figures", [])
    if len(figures) != 2:
        raise LookupError(reason(folder, f"fovea-{shape}-update") or "not measured")
    alone, trees = (figure["value"] for figure in figures)
    build = figures[0].get("build")
    return f"{trees / alone:.2f} times ({number(trees)} and {number(alone)} samples/s{'; ' + build if build else ''})"


def costs(folder, shape):
    """Each in a few words."""
    told = []
    for figure in load(f"{folder}/fovea-{shape}-bits.json").get("figures", []):
        words = figure["what"].split()
        if "cost_of_same_bits" in figure:
            which = " of " + words[0] if figure["name"] == "decode" else "'s decoding" if "only" in words else ""
            told.append(f"{figure['name']}{which} {100 * figure['cost_of_same_bits']:.1f} %")
    if not told:
        raise LookupError(reason(folder, f"fovea-{shape}-bits") or "not measured")
    build = load(f"{folder}/fovea-{shape}-bits.json").get("build")
    return ", ".join(told) + (f" ({build})" if build else "")


def fovea_cell(folder, shape, row):
    if row.key == "bits":
        return costs(folder, shape)
    if row.key == "tree":
        return tree_gain(folder, shape)
    figure = figure_of(folder, shape, row.command, row)
    if row.key.startswith("attention"):
        return f"{attention_rate(figure, shape, row.key == 'attention-grad')} TFLOP/s"
    flops = figure.get("flops_per_s", 0)
    rate = f", {flops * 1e-12:,.0f} TFLOP/s" if flops >= 1e12 else ""
    idle, build = figure.get("idle_share"), figure.get("build")
    rest = f", {100 * idle:.1f} % idle" if row.key == "step" and idle is not None and math.isfinite(idle) else ""
    bound = f" [{number(figure['ceiling'])}, {100 * figure['share']:.0f} %]" if "ceiling" in figure else ""
    return f"{number(figure['value'])} {row.unit}{rate}{bound}{rest}{f' ({build})' if build else ''}"


def found(folder, name, shape, key):
    """What a peer says of a row, and whose figure it is: of the folder, or else an earlier one."""
    own = load(f"{folder}/{name}-{shape}.json")
    earlier = load(f"{os.path.dirname(os.path.abspath(__file__))}/earlier.json").get(f"{name}-{shape}", {})
    for data, mark in ((own, ""), (earlier, "earlier ")):
        figure = data.get("figures", {}).get(key)
        if figure and ("value" in figure or not earlier.get("figures", {}).get(key)):
            return figure, f"{mark}{data['program']}, {data['date']}"
    return None, ""


def peer_cell(folder, name, shape, row, notes):
    figure, source = found(folder, name, shape, row.key)
    if not figure:
        return ""
    if "why" in figure:
        return f"{PEERS[name]}: {figure['why']}"
    notes.setdefault(source, {}).setdefault(figure.get("note", ""), {})[row.key] = None
    unit = "TFLOP/s" if row.key.startswith("attention") else row.unit
    mark = "earlier " if source.startswith("earlier") else ""
    return f"{mark}{PEERS[name]} {number(figure['value'])} {unit}"


def row_of(folder, shape, row, notes):
    goal = dict(row.goals).get(shape)
    try:
        own = fovea_cell(folder, shape, row)
    except LookupError as missing:
        own = str(missing)
    peers = [cell for name in PEERS for cell in [peer_cell(folder, name, shape, row, notes)] if cell]
    if own == "not measured" and not peers:
        return ""
    unit = " TFLOP/s" if row.key in rows.IN_FLOPS else ""
    title = shape.upper() if shape[0].isdigit() else shape
    return f"| {title}: {row.title} | {own} | {'; '.join(peers)} | {goal if isinstance(goal, str) else f'{goal:,}{unit}' if goal else ''} |"


def notes_of(folder, measured, notes):
    lines = []
    for source, said in notes.items():
        parts = [f"{', '.join(keys)}: {note}" for note, keys in said.items() if note]
        lines.append(f"* {source}{'; ' if parts else ''}{'; '.join(parts)}")
    missing = {f"* {title}: {why}": None for name, title in PEERS.items() for shape in measured
               for why in [reason(folder, f"{name}-{shape}")] if why}
    return lines + list(missing)


def commands(measured):
    return [f"* {shape}: `fovea bench` of `" + "`, `".join(rows.COMMANDS[shape].values()) + "`, `start --model`"
            for shape in measured]


def table(folder):
    about, notes = load(f"{folder}/about.json"), {}
    measured = [shape for shape in rows.COMMANDS if glob.glob(f"{folder}/fovea-{shape}-*")]
    lines = [line for shape in measured for row in rows.ROWS for line in [row_of(folder, shape, row, notes)]
             if line and (row.command in rows.COMMANDS[shape] or glob.glob(f"{folder}/fovea-{shape}-{row.command}.*"))]
    return "\n".join([
        f"fovea {about.get('commit', '')}, {about.get('date', '')}, {about.get('device', '')}; in brackets what the machine "
        "allows, and the share of it:", "", "| work | fovea | peers | first goal |", "|---|---|---|---|", *lines, "",
        *(["* " + about["note"]] if "note" in about else commands(measured)), *notes_of(folder, measured, notes)])


def main():
    text = table(sys.argv[1])
    if len(sys.argv) < 3:
        print(text)
        return
    with open(sys.argv[2]) as file:
        before = file.read()
    head, tail = before.split(BEGIN)[0], before.split(END)[1]
    with open(sys.argv[2], "w") as file:
        file.write(f"{head}{BEGIN}\n{text}\n{END}{tail}")


if __name__ == "__main__":
    main()
