# SPDX-License-Identifier: GPL-2.0-or-later
"""Bar charts as SVG: one panel per row of a section, each with a scale of its own."""

import statistics
from xml.sax.saxutils import escape

from report import human

# Colours and grey text that can be read on white and on black; the background stays clear.
COLOURS = {"direct": "#b4bcc5", "haproxy-splice": "#4c8fd6", "haproxy": "#86b3e3",
           "haproxy-splice-own": "#2f6aa8",
           "nginx": "#3fa66a", "sniproxy": "#a884d1",
           "spliced-kernel": "#e0762f", "spliced-copy": "#eba878"}
TEXT = "#768390"
FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'"

MARGIN = 16
HEAD = 64
PANEL_WIDTH = 400
PANEL_GAP = 24
PANEL_HEAD = 28
BAR = 18
BAR_STEP = 26
NAME_WIDTH = 120
VALUE_WIDTH = 104
FOOT = 34
COLUMNS = 2


def _text(x, y, text, size=12, anchor="start", weight="normal"):
    return (f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' "
            f"font-weight='{weight}'>{escape(text)}</text>")


def _line(x1, y1, x2, y2, width=1.2):
    return (f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{TEXT}' "
            f"stroke-width='{width}'/>")


def _whisker(left, low, high, y):
    middle = y + BAR / 2
    return [_line(left + low, middle, left + high, middle),
            *(_line(left + end, middle - 4, left + end, middle + 4) for end in (low, high))]


def _bar(x, y, name, values, scale, base):
    """One target: its name, the median as a bar, the range as a whisker, the value; as a multiple
    of another one's, if base is that."""
    left = x + NAME_WIDTH
    median = statistics.median(values)
    colour = COLOURS.get(name, TEXT)
    label = human(median)
    if base:
        label += f"  (x {median / base:.2f})"
    low, high = max(0, min(values)) * scale, max(0, max(values)) * scale
    width = max(1.0, median * scale)
    out = [_text(left - 8, y + 13, name, anchor="end",
                 weight="bold" if name.startswith("spliced") else "normal"),
           f"<rect x='{left}' y='{y}' width='{width:.1f}' height='{BAR}' rx='2' "
           f"fill='{colour}'><title>{escape(name)}: {human(min(values))} to "
           f"{human(max(values))}</title></rect>"]
    if len(values) > 1:
        out += _whisker(left, low, high, y)
    out.append(_text(left + max(width, high) + 8, y + 13, label))
    return out


def _panel(x, y, label, bars, base):
    room = PANEL_WIDTH - NAME_WIDTH - VALUE_WIDTH
    scale = room / (max(max(values) for _, values in bars) or 1)
    reference = next((statistics.median(values) for name, values in bars if name == base), None)
    out = [_text(x, y + 14, label, size=13, weight="bold")]
    top = y + PANEL_HEAD
    for number, (name, values) in enumerate(bars):
        out += _bar(x, top + number * BAR_STEP, name, values, scale,
                    reference if name != base else None)
    out.append(_line(x + NAME_WIDTH, top - 4, x + NAME_WIDTH, top + len(bars) * BAR_STEP - 4))
    return out


def _collect(results, field, rows):
    panels = []
    for label, measure in rows:
        bars = [(name, results.values(measure, name, field)) for name in results.targets]
        bars = [(name, values) for name, values in bars if values]
        if bars and max(max(values) for _, values in bars) > 0:
            panels.append((label, bars))
    return panels


def chart(results, section, footnote):
    """A section as an SVG document, or None if nothing of it was measured."""
    title, unit = section.title, section.unit
    panels = _collect(results, section.field, section.rows)
    if not panels:
        return None
    columns = min(COLUMNS, len(panels))
    panel_height = PANEL_HEAD + max(len(bars) for _, bars in panels) * BAR_STEP + 14
    # Never narrower than the footnote.
    width = max(640, 2 * MARGIN + columns * PANEL_WIDTH + (columns - 1) * PANEL_GAP)
    height = HEAD + -(-len(panels) // columns) * panel_height + FOOT
    out = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
           f"viewBox='0 0 {width} {height}' {FONT} fill='{TEXT}' role='img'>",
           f"<title>{escape(title)}, {escape(unit)}</title>",
           _text(MARGIN, 26, title, size=18, weight="bold"),
           _text(MARGIN, 46, f"{unit}, {section.better} is better", size=13)]
    for number, (label, bars) in enumerate(panels):
        x = MARGIN + number % columns * (PANEL_WIDTH + PANEL_GAP)
        out += _panel(x, HEAD + number // columns * panel_height, label, bars,
                      section.base)
    for number, line in enumerate(footnote):
        out.append(_text(MARGIN, height - FOOT + 8 + 15 * number, line, size=11))
    return "\n".join([*out, "</svg>", ""])
