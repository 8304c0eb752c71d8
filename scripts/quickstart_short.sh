#!/usr/bin/env bash
# Runs recipes/quickstart.yaml in seconds instead of minutes, in a store of its own, and looks at all that it leaves.
#
#   scripts/quickstart_short.sh target/release/cambist
#
# The models learn next to nothing; that everything runs, resumes, shows and adds up is what is checked.
set -euo pipefail

cambist=$(realpath "${1:?usage: scripts/quickstart_short.sh CAMBIST_BINARY}")
cd "$(dirname "$0")/.."
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
recipe=recipes/quickstart.yaml
name=$(sed -n 's/^name: *//p' "$recipe")

fail() { printf 'quickstart_short: %s\n' "$*" >&2; exit 1; }

# Few steps of every training, and gates open, or models that learned nothing would leave nothing to go on with.
plan=$("$cambist" plan "$recipe" --store "$store" --json)
steps_of() { grep -o "\"step\":\"[^\"]*\",\"verb\":\"$1\"" <<<"$plan" | sed 's/"step":"\([^".]*\).*/\1/' | sort -u; }
overrides=()
for step in $(steps_of train); do overrides+=("$step.train.config.steps=3"); done
[ "${#overrides[@]}" -gt 0 ] || fail "the plan of $recipe trains nothing"
gates='{language: null, repetition: null, echo: null, mixed: null, refusal: null, keep_truncated: true}'
for step in $(steps_of select); do overrides+=("$step.select.gates=$gates"); done
options=("$recipe" "${overrides[@]}" --limit 12 --store "$store")

"$cambist" run "${options[@]}" >"$store/closing.txt"
[ -s "$store/closing.txt" ] || fail "the run said nothing at its end"
unfinished=$("$cambist" plan "${options[@]}" --json | grep -o '"state":"[a-z]*"' | grep -vc '"state":"finished"' || true)
[ "$unfinished" -eq 0 ] || fail "$unfinished steps are unfinished after the run"
"$cambist" run "${options[@]}" 2>&1 >/dev/null | grep -q '^  done ' && fail "the second run did something again"

"$cambist" show --store "$store" >/dev/null
for folder in "$store/runs/$name"/*/; do
    step=$(basename "$folder")
    "$cambist" show "$name.$step" --store "$store" >/dev/null
    "$cambist" why "$name.$step" --store "$store" >/dev/null
done

python=${CAMBIST_PYTHON:-target/check-venv/bin/python}
if [ -x "$python" ] && "$python" -c 'import pyarrow' 2>/dev/null; then
    for folder in "$store/runs/$name"/*/; do
        if [ -e "$folder/strategies.json" ]; then "$python" scripts/strategy_table.py "$folder"; fi
        if [ -e "$folder/outcomes.parquet" ]; then "$python" scripts/results_table.py "$folder"; fi
    done
else
    echo "skipped: the tables were not recomputed, $python has no pyarrow" >&2
fi
page=$(find "$store/artifacts" -name report.html | head -n 1)
if [ -z "$page" ]; then
    echo "skipped: the recipe writes no report" >&2
elif [ -x "$python" ] && "$python" -c 'import playwright' 2>/dev/null && command -v "${CHROMIUM:-/usr/bin/chromium}" >/dev/null; then
    "$python" crates/cambist-pipeline/tests/browser/report.py "$page"
else
    echo "skipped: the report was not looked at, $python has no playwright or there is no Chromium" >&2
fi
echo "the shortened quickstart is in order"
