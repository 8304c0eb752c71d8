#!/usr/bin/env bash
# Logs samples with lm-evaluation-harness (lm_eval 0.4.13, Python 3.11.7, its `dummy` model, which answers `lol`):
#   LM_EVAL=path/to/lm_eval ./make.sh
# A task of answers, with two repeats and two filters, and a task of choices, by two models.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/questions.jsonl" <<'ROWS'
{"question": "Bir gün kaç saattir?", "answer": "24"}
{"question": "Türkiye'nin başkenti neresidir?", "answer": "Ankara"}
{"question": "ما عاصمة مصر؟", "answer": "lol"}
ROWS
cat >"$work/choices.jsonl" <<'ROWS'
{"question": "Bir gün kaç saattir?", "choices": ["24", "12"]}
{"question": "Türkiye'nin başkenti neresidir?", "choices": ["Ankara", "İzmir"]}
ROWS
cat >"$work/capitals_gen.yaml" <<TASK
task: capitals_gen
dataset_path: json
dataset_kwargs: {data_files: {test: $work/questions.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\n"], max_gen_toks: 16}
repeats: 2
filter_list:
  - {name: strict, filter: [{function: take_first}]}
  - {name: letters, filter: [{function: regex, regex_pattern: "([a-z])"}, {function: take_first}]}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
TASK
cat >"$work/capitals_mc.yaml" <<TASK
task: capitals_mc
dataset_path: json
dataset_kwargs: {data_files: {test: $work/choices.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_target: 0
doc_to_choice: "{{choices}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
TASK
rm -rf org__one-7b org__two-7b
for model in org/one-7b org/two-7b; do
  HF_HUB_OFFLINE=1 HF_HOME="$work/hf" "${LM_EVAL:-lm_eval}" run --model dummy --model_args "pretrained=$model" --seed 7 \
    --tasks capitals_gen,capitals_mc --include_path "$work" --log_samples --output_path "$work/out"
done
cp -r "$work"/out/org__* .
rm -f org__*/results_*.json
