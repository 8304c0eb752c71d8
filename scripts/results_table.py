"""Recomputes accuracy and wins minus losses of an `evaluate` artifact from its rows alone; ends with 1 where it differs.

Usage: python scripts/results_table.py cambist-store/runs/quickstart/results    (needs pyarrow)
"""
import json
import sys
from collections import defaultdict
from math import isclose
from pathlib import Path

from pyarrow import parquet

folder = Path(sys.argv[1])
rows = parquet.read_table(folder / "outcomes.parquet").to_pylist()
results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
mean = lambda values: sum(values) / len(values)
grades, faults, n_compared = defaultdict(dict), [], 0
# What could not be graded for one variant counts for none.
ungraded = {(r["prompt_id"], r["seed"]) for r in rows if r["value"] is None}
for r in rows:
    if (r["prompt_id"], r["seed"]) not in ungraded:
        grades[r["variant"]][r["language"], r["prompt_id"], r["seed"]] = r["value"]


def compare(what, ours, theirs):
    global n_compared
    n_compared += 1
    if theirs is None or not isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-12):
        faults.append(f"{what}: the rows give {ours}, the artifact says {theirs}")


for variant, own in sorted(grades.items()):
    table, baseline = results["variants"][variant], grades.get(results["against"])
    by_language, points = defaultdict(list), defaultdict(list)
    for (language, *cell), value in own.items():
        by_language[language].append(value)
        if baseline and variant != results["against"]:
            other = baseline[language, *cell]
            points[language].append(100 * ((value > other) - (value < other)))
    for language, values in by_language.items():
        compare(f"{variant}, {language}, accuracy", mean(values), table["accuracy"]["languages"][language]["mean"]["value"])
    for language, each in points.items():
        theirs = table["versus"]["languages"][language]["difference_points"]["value"]
        compare(f"{variant}, {language}, wins minus losses", mean(each), theirs)
    over = lambda cells: mean([mean(values) for values in cells.values()])  # every language weighs the same
    compare(f"{variant}, accuracy", over(by_language), table["accuracy"]["macro_mean"]["mean"]["value"])
    if points:
        theirs = table["versus"]["macro_mean"]["difference_points"]["value"]
        compare(f"{variant}, wins minus losses", over(points), theirs)
if set(grades) != set(results["variants"]):
    faults.append(f"variants: the rows have {sorted(grades)}, the artifact {sorted(results['variants'])}")

if faults or not n_compared:
    sys.exit("\n".join(faults) or f"{folder} has no graded answers")
print(f"{n_compared} numbers of {len(grades)} variants agree")
