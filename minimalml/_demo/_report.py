"""One HTML file of all results that needs nothing beside itself."""

import base64
import html
import io
import os
import platform
import string
from importlib import resources

import numpy as np
import sklearn

import minimalml
from minimalml._core.optional import import_pyplot
from minimalml._demo._measure import table_rows

OURS, THEIRS, INK = "#2f5d8a", "#9aa3ad", "#24292f"
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a929b",
    "svg.fonttype": "path",
}


def draw_values(result):
    """Draw every seed's figure, and the mean, of every contender."""
    plt = import_pyplot("The demo")
    order = result.order()[::-1]
    figure, ax = plt.subplots(figsize=(7.2, 0.55 * len(order) + 1.1))
    is_ours = [result.names[i] == result.demo.ours for i in order]
    for row, i in enumerate(order):
        color = OURS if is_ours[row] else THEIRS
        values = result.values[:, i]
        ax.plot(values, np.full(len(values), row), "o", color=color, alpha=0.45, ms=6)
        ax.errorbar(values.mean(), row, xerr=values.std(ddof=1), fmt="D", color=color,
                    ms=8, mec="white", mew=1.2, elinewidth=2.2, capsize=4)  # fmt: skip
    ax.set_yticks(range(len(order)), [result.names[i] for i in order])
    for label, ours in zip(ax.get_yticklabels(), is_ours, strict=True):
        label.set(color=OURS if ours else INK, weight="bold" if ours else "normal")
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.grid(axis="x", alpha=0.25)
    better = "lower" if result.demo.lower_is_better else "higher"
    ax.set_xlabel(f"{result.demo.metric} ({better} is better)")
    return figure


def picture(caption, figure):
    """Return a figure as an image inside the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    import_pyplot("The demo").close(figure)
    data = base64.b64encode(buffer.getvalue()).decode()
    escaped = html.escape(caption)
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{escaped}">'
        f"<figcaption>{escaped}</figcaption></figure>"
    )


def html_table(result):
    """Return the table of one result; our row is marked."""
    headings, rows = table_rows(result)
    lines = ["<table><thead><tr>", *(f"<th>{html.escape(h)}</th>" for h in headings)]
    lines.append("</tr></thead><tbody>")
    for row in rows:
        lines.append('<tr class="ours">' if row[0] == result.demo.ours else "<tr>")
        lines += [f"<td>{html.escape(text)}</td>" for text in row] + ["</tr>"]
    return "".join([*lines, "</tbody></table>"])


def section(result):
    """Return one family's part of the page."""
    demo = result.demo
    caption = (
        f"Each dot is one of {len(result.values)} seeds; the diamond is the mean, its "
        "bar one standard deviation. Blue: minimalml."
    )
    pictures = picture(caption, draw_values(result)) + picture(*demo.figure())
    return f"""
<section>
<h2>{html.escape(demo.title)}</h2>
<p class="question">{html.escape(demo.question)}</p>
<p class="verdict">{html.escape(result.verdict())}</p>
{html_table(result)}
{pictures}
<p class="data">{html.escape(demo.data)} Parameters are defaults or were searched on
training rows alone; no figure was seen by a search. <b>But:</b>
{html.escape(demo.but)}</p>
<details open><summary>In a search, as you would write it</summary>
<pre><code>{html.escape(demo.code.strip())}</code></pre></details>
</section>"""


def write_report(path, results, seconds):
    """Write the page; it refers to nothing outside itself."""
    plt = import_pyplot("The demo")
    page = resources.files("minimalml._demo").joinpath("report.html").read_text("utf-8")
    machine = (
        f"minimalml {minimalml.__version__}, scikit-learn {sklearn.__version__}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, {seconds:.0f} seconds"
    )
    with plt.rc_context(STYLE):
        sections = "".join(section(result) for result in results)
    filled = string.Template(page).substitute(
        sections=sections, machine=html.escape(machine)
    )
    path.write_text(filled, "utf-8")
