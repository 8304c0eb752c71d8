#!/usr/bin/env bash
# Runs recipes/endpoints.yaml in seconds against the mock on a bad night, kills it on the way, and looks at what it leaves.
#
#   scripts/endpoints_short.sh target/release/cambist
set -euo pipefail

cambist=$(realpath "${1:?usage: scripts/endpoints_short.sh CAMBIST_BINARY}")
cd "$(dirname "$0")/.."
store=$(mktemp -d)
"$cambist" mock --port 0 --behaviour recipes/mock.yaml >"$store/mock.txt" 2>/dev/null &
mock=$!
trap 'kill "$mock" 2>/dev/null || true; rm -rf "$store"' EXIT
for _ in $(seq 50); do [ -s "$store/mock.txt" ] && break; sleep 0.1; done
url=$(head -n 1 "$store/mock.txt")

fail() { printf 'endpoints_short: %s\n' "$*" >&2; exit 1; }
[ -n "$url" ] || fail "the mock did not start"

recipe=recipes/endpoints.yaml
overrides=()
for teacher in aya gemma sonnet slavic turkish; do overrides+=("pool.$teacher.endpoint.base_url=$url"); done
for arbiter in skywork judge; do overrides+=("arbiters.$arbiter.endpoint.base_url=$url"); done
options=("$recipe" "${overrides[@]}" students.train.config.steps=3 --limit 6 --store "$store/store")

"$cambist" prompts "${options[@]}" --quiet
"$cambist" plan "${options[@]}" --probe 2 >"$store/plan.txt" 2>/dev/null
grep -q "left to pay: " "$store/plan.txt" || fail "the plan names no sum"
"$cambist" run "${options[@]}" --quiet >/dev/null 2>&1 &
run=$!
sleep 0.7
kill -9 "$run" 2>/dev/null || true
wait "$run" 2>/dev/null || true
"$cambist" run "${options[@]}" >"$store/closing.txt" 2>"$store/talk.txt" || { cat "$store/talk.txt" >&2; fail "the run after a killed one failed"; }
"$cambist" run "${options[@]}" 2>&1 >/dev/null | grep -q '^  done ' && fail "the second run did something again"
ls "$store"/store/runs/endpoints/report/report.html >/dev/null

python=${CAMBIST_PYTHON:-target/check-venv/bin/python}
if [ -x "$python" ] && "$python" -c 'import playwright' 2>/dev/null && command -v "${CHROMIUM:-/usr/bin/chromium}" >/dev/null; then
    "$python" crates/cambist-pipeline/tests/browser/report.py "$store/store/runs/endpoints/report/report.html"
    "$python" scripts/view_check.py "$cambist"
else
    echo "skipped: the pages were not looked at, $python has no playwright or there is no Chromium" >&2
fi
echo "the rehearsal against the mock is in order"
