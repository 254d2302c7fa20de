"""The command line: ``python -m minimalml {demo,methods,claims}``."""

import argparse
import sys
import textwrap

from minimalml._methods import load_methods, missing_files, source_checkout

DESCRIPTION = "Simple methods that beat complicated ones, as scikit-learn estimators."
NEEDS_CHECKOUT = (
    "python -m minimalml {command} needs a source checkout, since {what} are not "
    "installed with the package: run it from a clone of the repository."
)


def parser():
    """Build the argument parser."""
    top = argparse.ArgumentParser(prog="python -m minimalml", description=DESCRIPTION)
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="show each family beside what one would use instead; write a report",
        description="Show one method of each family in the setting that it is for, "
        "beside what one would use instead, and write one self-contained HTML report.",
    )
    demo.add_argument("families", nargs="*", metavar="FAMILY",
                      help="families to show; default: all that have a demo")  # fmt: skip
    demo.add_argument("--report", default="report.html", metavar="FILE",
                      help="where the report goes; default: %(default)s")  # fmt: skip
    demo.add_argument("--quick", action="store_true",
                      help="two seeds and short fits: to try the command")  # fmt: skip
    demo.set_defaults(run=run_demo)

    methods = commands.add_parser(
        "methods",
        help="list the methods, by family",
        description="List the methods, by family.",
    )
    form = methods.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true",
                      help="print the table that the README holds")  # fmt: skip
    form.add_argument("--update-readme", action="store_true",
                      help="write that table into README.md")  # fmt: skip
    form.add_argument("--missing", action="store_true",
                      help="list which of a method's files are absent")  # fmt: skip
    form.add_argument("--new", nargs=2, metavar=("FAMILY", "STEM"),
                      help="write the files of a new method")  # fmt: skip
    methods.add_argument("--kernel", action="store_true",
                         help="with --new: a pair of kernels too")  # fmt: skip
    methods.set_defaults(run=run_methods)

    claims = commands.add_parser(
        "claims",
        help="run the papers' headline claims again: claim, measured, verdict",
        description="Run the papers' headline claims again on real data, print claim, "
        "measured and verdict, and keep each in benchmarks/STEM/results.json beside those "
        "that were not run. Example: claims c_mixup rotated_digits quad_attack",
    )
    claims.add_argument("chosen", nargs="*", metavar="STEM [CLAIM ...]",
                        help="methods, and which of their claims; default: all")  # fmt: skip
    claims.add_argument("--list", action="store_true",
                        help="list the methods, or the claims of the chosen")  # fmt: skip
    claims.set_defaults(run=run_claims)
    return top


def run_demo(arguments):
    """Run the demo of the chosen families."""
    from minimalml._demo import available, run

    unknown = set(arguments.families) - set(available())
    if unknown:
        return complain(
            f"no demo for {', '.join(sorted(unknown))}; there are: "
            f"{', '.join(available())}."
        )
    return run(arguments.families or available(), arguments.report, arguments.quick)


def run_methods(arguments):
    """Print the table of methods in the chosen form."""
    if arguments.missing:
        return print_missing()
    if arguments.update_readme:
        return update_readme()
    if arguments.kernel and not arguments.new:
        return complain("--kernel goes with --new FAMILY STEM.")
    if arguments.new:
        return write_new(*arguments.new, arguments.kernel)
    print(markdown_table() if arguments.markdown else plain_table())
    return 0


def methods_by_family():
    """All methods, sorted by family, then name."""
    return sorted(load_methods(), key=lambda m: (m.family, m.name.lower()))


def plain_table():
    """Return the methods as indented text, 88 columns wide."""
    lines, family = [], None
    for method in methods_by_family():
        if method.family != family:
            family = method.family
            lines += ["", f"minimalml.{family}"]
        heading = f"{method.name}  [{', '.join(method.classes)}]"
        lines += textwrap.wrap(
            heading, 88, initial_indent="  ", subsequent_indent=" " * 6
        )
        for text in (method.claim, f"{method.paper} (arXiv:{method.arxiv})"):
            lines += textwrap.wrap(
                text, 88, initial_indent="    ", subsequent_indent="    "
            )
    return "\n".join(lines[1:])


def markdown_table():
    """Return the methods as the Markdown table of the README."""
    rows = [
        "| Method | Estimators | What the paper promises | Paper |",
        "|---|---|---|---|",
    ]
    for method in methods_by_family():
        names = "<br>".join(f"`{method.family}.{name}`" for name in method.classes)
        link = f"[{method.paper}](https://arxiv.org/abs/{method.arxiv})"
        rows.append(f"| {method.name} | {names} | {method.claim} | {link} |")
    return "\n".join(rows)


def readme_with_table(text):
    """Return the README's ``text`` with the table of methods as it is now."""
    head, rest = text.split("<!-- methods", 1)
    comment, rest = rest.split("-->", 1)
    _, tail = rest.split("<!-- end of methods", 1)
    return (
        f"{head}<!-- methods{comment}-->\n{markdown_table()}\n<!-- end of methods{tail}"
    )


def update_readme():
    """Write the table of methods into the README of the checkout."""
    root = source_checkout()
    if root is None:
        command = "methods --update-readme"
        return complain(NEEDS_CHECKOUT.format(command=command, what="README and docs"))
    readme = root / "README.md"
    readme.write_text(readme_with_table(readme.read_text("utf-8")), "utf-8")
    return 0


def write_new(family, stem, with_kernel):
    """Write the beginnings of a new method, and say what comes next."""
    root = source_checkout()
    if root is None:
        what = "tests, benchmarks and documentation"
        return complain(NEEDS_CHECKOUT.format(command="methods --new", what=what))
    from minimalml._new_method import write_new_method

    try:
        written = write_new_method(root, family, stem, with_kernel)
    except ValueError as error:
        return complain(str(error))
    print("\n".join(written))
    print(
        f"\nNow: make test PYTEST_ARGS=tests/{family}/{stem}; fill in what the files "
        f"say; make claims STEM={stem}; python -m minimalml methods --update-readme; "
        "make lint."
    )
    return 0


def print_missing():
    """List the absent files of each method; the exit code says whether there are any."""
    root = source_checkout()
    if root is None:
        what = "tests, benchmarks and documentation"
        return complain(NEEDS_CHECKOUT.format(command="methods --missing", what=what))
    n_missing = 0
    for method in methods_by_family():
        missing = missing_files(method, root)
        n_missing += len(missing)
        print(f"{method.family}.{method.stem}: {len(missing) or 'nothing'} missing")
        for purpose, pattern in missing.items():
            print(f"  {purpose:<20} {pattern}")
    return int(n_missing > 0)


def run_claims(arguments):
    """Run the claims of the chosen methods."""
    root = source_checkout()
    if root is None:
        what = "the experiments behind the claims"
        return complain(NEEDS_CHECKOUT.format(command="claims", what=what))
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    from benchmarks import claims as runner

    if arguments.list and not arguments.chosen:
        print("\n".join(runner.available()))
        return 0
    try:
        chosen = claims_by_stem(arguments.chosen, runner)
    except ValueError as error:
        return complain(str(error))
    for stem, names in chosen.items():
        print(f"--- {stem} ---\n")
        if arguments.list:
            print_claims(stem, runner)
        else:
            runner.run(stem, names)
    return 0


def print_claims(stem, runner):
    """Print name, kept verdict and statement of each claim of a method."""
    kept = runner.results_of(stem)
    for name, experiment in runner.experiments_of(stem).items():
        verdict = kept[name]["verdict"] if name in kept else "not run yet"
        print(f"{name}  ({verdict})\n    {experiment.claim_statement}")
    print()


def claims_by_stem(words, runner):
    """Return method -> names of its claims, none meaning all, from words in a row."""
    known, chosen = runner.available(), {}
    for word in words:
        if word in known:
            stem = word
            chosen.setdefault(stem, [])
        elif not chosen:
            raise ValueError(f"no claims for {word}; there are: {', '.join(known)}.")
        elif word in (names := runner.experiments_of(stem)):
            chosen[stem].append(word)
        else:
            raise ValueError(
                f"{word} is neither a claim of {stem} ({', '.join(names)}) nor a "
                f"method ({', '.join(known)})."
            )
    return chosen or {stem: [] for stem in known}


def complain(sentence):
    """Say what is wrong on stderr and return the exit code for wrong usage."""
    print(sentence, file=sys.stderr)
    return 2


def main(argv=None):
    """Run the command line and return its exit code."""
    arguments = parser().parse_args(argv)
    return arguments.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
