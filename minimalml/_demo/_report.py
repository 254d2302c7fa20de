"""Show results: a table in the terminal, and one HTML file that needs nothing else."""

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
from minimalml._demo._compare import with_error

OURS, THEIRS, INK = "#2f5d8a", "#9aa3ad", "#24292f"
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a929b",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "svg.fonttype": "path",
}


def table_rows(result):
    """Return headings and rows, best contender first, as text."""
    demo = result.demo
    baseline = result.index(demo.baseline)
    best_of_split = (np.argmin if demo.lower_is_better else np.argmax)(
        result.values, axis=1
    )
    metric = demo.metric
    headings = ["contender", f"{metric} ± sd", "difference ± sd", "best on", "one fit"]
    rows = []
    for i in result.order():
        difference, error = result.difference(i, baseline)
        values = result.values[:, i]
        rows.append(
            [
                demo.contenders[i].name,
                with_error(values.mean(), values.std(ddof=1)),
                "" if i == baseline else with_error(difference, error, "+"),
                f"{np.sum(best_of_split == i)} of {len(values)}",
                f"{np.median(result.seconds[:, i]):.2g} s",
            ]
        )
    return headings, rows


def print_result(result):
    """Print the table and the verdict."""
    from rich.console import Console
    from rich.table import Table

    headings, rows = table_rows(result)
    table = Table(
        *headings,
        title=result.demo.title,
        caption=f"difference: from {result.demo.baseline}, split by split",
        title_justify="left",
        caption_justify="left",
    )
    ours = {c.name for c in result.demo.contenders if c.is_ours}
    for row in rows:
        table.add_row(*row, style="bold" if row[0] in ours else None)
    console = Console(highlight=False)
    console.print()
    console.print(table)
    console.print(result.verdict())


def draw_scores(result):
    """Draw every split's figure, and the mean, of every contender."""
    plt = import_pyplot("The demo")
    contenders, order = result.demo.contenders, result.order()[::-1]
    figure, ax = plt.subplots(figsize=(7.2, 0.55 * len(order) + 1.1))
    for row, i in enumerate(order):
        color = OURS if contenders[i].is_ours else THEIRS
        values = result.values[:, i]
        spread = values.std(ddof=1)
        ax.plot(values, np.full(len(values), row), "o", color=color, alpha=0.45, ms=6)
        ax.errorbar(values.mean(), row, xerr=spread, fmt="D", color=color, ms=8,
                    mec="white", mew=1.2, elinewidth=2.2, capsize=4)  # fmt: skip
    ax.set_yticks(range(len(order)), [contenders[i].name for i in order])
    for label, i in zip(ax.get_yticklabels(), order, strict=True):
        label.set_color(OURS if contenders[i].is_ours else INK)
        label.set_weight("bold" if contenders[i].is_ours else "normal")
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.grid(axis="x", alpha=0.25)
    better = "lower" if result.demo.lower_is_better else "higher"
    ax.set_xlabel(f"{result.demo.metric} on the test part ({better} is better)")
    return figure


def embed(figure):
    """Return a figure as an image inside the page."""
    plt = import_pyplot("The demo")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def picture(caption, figure):
    escaped = html.escape(caption)
    return (
        f'<figure><img src="{embed(figure)}" alt="{escaped}">'
        f"<figcaption>{escaped}</figcaption></figure>"
    )


def html_table(result):
    """Return the table of one result; our rows are marked."""
    headings, rows = table_rows(result)
    ours = {c.name for c in result.demo.contenders if c.is_ours}
    lines = ["<table><thead><tr>"]
    lines += [f"<th>{html.escape(h)}</th>" for h in headings]
    lines.append("</tr></thead><tbody>")
    for row in rows:
        lines.append('<tr class="ours">' if row[0] in ours else "<tr>")
        lines += [f"<td>{html.escape(text)}</td>" for text in row]
        lines.append("</tr>")
    return "".join([*lines, "</tbody></table>"])


def chosen_parameters(result):
    """Return what the searches chose, split by split."""
    lines = []
    for i, contender in enumerate(result.demo.contenders):
        for name in contender.grid:
            chosen = ", ".join(str(p[i][f"model__{name}"]) for p in result.params)
            lines.append(
                f"<dt>{html.escape(contender.name)}</dt>"
                f"<dd><code>{html.escape(name)}</code> = {html.escape(chosen)}</dd>"
            )
    return f"<dl>{''.join(lines)}</dl>"


def section(result):
    """Return one family's part of the page."""
    demo = result.demo
    caption = (
        "Every dot is the test part of one split; the diamond is the mean, its bar one "
        "standard deviation. Blue: minimalml."
    )
    pictures = [picture(caption, draw_scores(result))]
    pictures += [picture(*captioned) for captioned in demo.figures(demo.showcase)]
    return f"""
<section>
<h2>{html.escape(demo.title)}</h2>
<p class="question">{html.escape(demo.question)}</p>
<p class="verdict">{html.escape(result.verdict())}</p>
{html_table(result)}
<div class="pictures">{"".join(pictures)}</div>
<p class="data">{html.escape(demo.data)} Each contender is tuned by GridSearchCV on the
training part of each split alone; the figures are of the test part, mean and standard
deviation over {len(result.values)} random splits. Differences are from
{html.escape(demo.baseline)}, split by split.</p>
<details open><summary>The search, as you would write it</summary>
<pre><code>{html.escape(demo.code.strip())}</code></pre></details>
<details><summary>What the searches chose, split by split</summary>
{chosen_parameters(result)}</details>
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
    path.write_text(
        string.Template(page).substitute(
            sections=sections, machine=html.escape(machine)
        ),
        "utf-8",
    )
