#!/usr/bin/env python3
"""Turns public sets of real answers of many models into plain files for `replay`, with a recipe that compares strategies.

    python scripts/recorded_sets.py DATA SET JUDGE OUT
    cambist run OUT/recipe.yaml

DATA holds a folder of JSON lines for each set (`routing-sib200/outputs.jsonl.zst`; the readers below say which columns),
SET is one of them, JUDGE whose scores count (`-` for a set without).
Made with Python 3.11.7 and pyarrow 26.0.1, the only package that is needed.

OUT gets `prompts.jsonl`; `calibration.jsonl` and `compare.jsonl`, those at even and at odd places; `answers.jsonl`;
`scores.jsonl`. For the frontier of routing, which cuts the prompts by itself:

    cambist init OUT/frontier.yaml --prompts OUT/prompts.jsonl --answers OUT/answers.jsonl --scores OUT/scores.jsonl --judge JUDGE

A set without texts has `(not recorded)` in their place, so that answers are there to be chosen.
"""
import json
import re
import sys
from functools import partial
from pathlib import Path

import pyarrow as pa

NO_TEXT = "(not recorded)"


def lines(path):
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        return [line for line in stream.read().decode("utf-8").split("\n") if line]


def rows(path):
    return [json.loads(line) for line in lines(path)]


# A reader returns prompts, answers and scores as rows of Cambist's plain files.


def prompt(id, language, text):
    return {"id": str(id), "language": language, "prompt": text}


def answer(id, model, text):
    return {"prompt_id": str(id), "model": model, "text": text}


def score(id, model, judge, value):
    return {"prompt_id": str(id), "model": model, "judge": judge, "score": value}


def m_ifeval(data):
    parts = [data / "routing-m-ifeval" / language for language in ("en", "es", "ja")]
    read = lambda file: [row for part in parts for row in rows(part / file)]
    return (
        [prompt(r["prompt_id"], r["lang"], r["prompt"]) for r in read("prompts.jsonl.zst")],
        [answer(r["prompt_id"], r["model"], r["text"]) for r in read("completions.jsonl.zst")],
        [score(r["prompt_id"], r["model"], "strict", r["strict_all"]) for r in read("scores.jsonl.zst")],
    )


def mt_bench(data):
    """First turns; a question has one number in all languages, so that the language is part of its name."""
    prompts, answers, scores = [], [], []
    for language in ("de", "en", "id", "ja", "pl", "vi", "zh"):
        folder = data / "routing-mt-bench-multilingual" / language
        name = lambda row: f"{language}-{row['question_id']}"
        shared = lambda r: {"source_id": str(r["question_id"]), "task": r["category"]}
        questions = rows(folder / "questions.jsonl.zst")
        prompts += [prompt(name(r), language, r["turns"][0]) | shared(r) for r in questions]
        answers += [answer(name(r), r["model"], r["turns"][0]) for r in rows(folder / "completions.jsonl.zst")]
        first = [r for r in rows(folder / "scores.jsonl.zst") if r["turn"] == 1]
        scores += [score(name(r), r["model"], r["judge"], r["score"]) for r in first]
    return prompts, answers, scores


def arena_bench(data):
    folder = data / "routing-arena-bench-v1"
    return (
        [prompt(r["prompt_id"], "en", r["prompt"]) for r in rows(folder / "prompts.jsonl.zst")],
        [answer(r["prompt_id"], r["model"], r["text"]) for r in rows(folder / "completions.jsonl.zst")],
        [score(r["prompt_id"], r["model"], r["judge"], r["score"]) for r in rows(folder / "scores.jsonl.zst")],
    )


def sib200(data):
    prompts, answers, scores = [], [], []
    for r in rows(data / "routing-sib200" / "outputs.jsonl.zst"):
        id = f"{r['lang']}-{r['index_id']}"
        prompts.append(prompt(id, r["lang"], r["text"]))
        for model, ok in zip(("gpt-3.5-turbo", "gpt-4"), r["ok"]):
            answers.append(answer(id, model, r[model]))
            scores.append(score(id, model, "category", ok))
    return prompts, answers, scores


def gsm8k(data):
    prompts, answers, scores = [], [], []
    for r in rows(data / "routing-routellm" / "gsm8k.jsonl.zst"):
        prompts.append(prompt(r["prompt_id"], "en", r["prompt"]))
        answers += [answer(r["prompt_id"], model, text) for model, text in r["responses"].items()]
        scores += [score(r["prompt_id"], model, "correct", ok) for model, ok in r["correct"].items()]
    return prompts, answers, scores


def mmlu(data):
    """Nothing but right and wrong is recorded."""
    prompts, answers, scores = [], [], []
    for place, r in enumerate(rows(data / "routing-routellm" / "mmlu.jsonl.zst")):
        id = f"{r['subject']}-{place}"
        prompts.append(prompt(id, "en", r["prompt"]))
        for model, ok in zip(("mistralai/Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"), r["correct"]):
            answers.append(answer(id, model, NO_TEXT))
            scores.append(score(id, model, "correct", ok))
    return prompts, answers, scores


def routellm_mt_bench(data):
    """First turns; question and answer stand in what the judge was asked."""
    between = lambda text, begin, end: text.split(begin, 1)[1].split(end, 1)[0]
    prompts, answers, scores = {}, [], []
    for r in rows(data / "routing-routellm" / "mt_bench_judgments.jsonl.zst"):
        if r["turn"] != 1:
            continue
        id, asked = r["question_id"], r["user_prompt"]
        prompts.setdefault(id, prompt(id, "en", between(asked, "[Question]\n", "\n\n[The Start of")))
        text = between(asked, "[The Start of Assistant's Answer]\n", "\n[The End of Assistant's Answer]")
        answers.append(answer(id, r["model"], text))
        scores.append(score(id, r["model"], "gpt-4", r["score"]))
    return list(prompts.values()), answers, scores


def alpaca_eval(data):
    """A preference becomes the probability that the model beats the baseline: 1 loses, 2 wins, 0 is a draw."""
    folder, files = data / "routing-alpaca-eval-NC", ("completions.jsonl.zst", "baseline_gpt4_1106_preview.jsonl.zst")
    prompts = [prompt(r["prompt_id"], "en", r["prompt"]) for r in rows(folder / "prompts.jsonl.zst")]
    answers = [answer(r["prompt_id"], r["model"], r["text"]) for file in files for r in rows(folder / file)]
    models, scores = {row["model"] for row in answers}, []
    for judge in ("weighted_alpaca_eval_gpt4_turbo", "alpaca_eval_gpt4"):
        for r in rows(folder / f"preferences_{judge}.jsonl.zst"):
            if r["model"] in models:
                value = lambda p: None if p is None else 0.5 if p == 0 else p - 1
                scores += [score(place, r["model"], judge, value(p)) for place, p in enumerate(r["preference"])]
    return prompts, answers, scores


def ja_vicuna(data):
    """Games against one baseline in both orders: a win is 1, a draw 0.5; the baseline draws with itself."""
    folder = data / "routing-ja-vicuna-qa"
    questions = [json.loads(line) for line in (folder / "questions.jsonl").read_text("utf-8").split("\n") if line]
    baseline, scores = "openai--text-davinci-003", []
    for r in rows(folder / "pairwise_scores.jsonl.zst"):
        other = "model_2" if r["model_1"] == baseline else "model_1"
        won = [0.5 if winner == "tie" else float(winner == other) for winner in (r["g1_winner"], r["g2_winner"])]
        scores.append(score(r["question_id"], r[other], "gpt-4", sum(won) / 2))
    scores += [score(r["question_id"], baseline, "gpt-4", 0.5) for r in questions]
    return (
        [prompt(r["question_id"], "ja", r["prompt"]) for r in questions],
        [answer(r["question_id"], r["model"], r["text"]) for r in rows(folder / "completions.jsonl.zst")],
        scores,
    )


def wmt_mqm(data, test, language):
    """Penalties of translators, 0 at best; neither sources nor translations are recorded."""
    prompts, answers, scores = {}, [], []
    for line in lines(data / "routing-wmt-mqm-scores" / f"mqm_{test}.tsv.zst")[1:]:
        system, segment, value = line.split("\t")
        prompts.setdefault(segment, prompt(segment, language, f"{test}, segment {segment}"))
        answers.append(answer(segment, system, NO_TEXT))
        scores.append(score(segment, system, "mqm", None if value == "None" else float(value)))
    return list(prompts.values()), answers, scores


def ru_arena(data):
    """No scores of single answers."""
    folder = data / "routing-ru-arena-general"
    return (
        [prompt(r["prompt_id"], "ru", r["prompt"]) for r in rows(folder / "prompts.jsonl.zst")],
        [answer(r["prompt_id"], r["model"], r["text"]) for r in rows(folder / "completions.jsonl.zst")],
        [],
    )


def x_alpacaeval(data):
    """No scores; every third prompt is answered, in three languages of ten."""
    folder, name = data / "eval-x-alpacaeval-NC", lambda row: f"{row['lang']}-{row['id']}"
    return (
        [prompt(name(r), r["lang"], r["instruction"]) for r in rows(folder / "prompts.jsonl.zst")],
        [answer(name(r), r["model"], r["text"]) for r in rows(folder / "completions.jsonl.zst")],
        [],
    )


SETS = {
    "m-ifeval": (m_ifeval, ["strict"]),
    "mt-bench": (mt_bench, ["gpt-4-turbo", "gpt-4o", "gpt-4.1-2025-04-14"]),
    "arena-bench": (arena_bench, ["gpt-4"]),
    "sib200": (sib200, ["category"]),
    "routellm-gsm8k": (gsm8k, ["correct"]),
    "routellm-mmlu": (mmlu, ["correct"]),
    "routellm-mt-bench": (routellm_mt_bench, ["gpt-4"]),
    "alpaca-eval": (alpaca_eval, ["weighted_alpaca_eval_gpt4_turbo", "alpaca_eval_gpt4"]),
    "ja-vicuna-qa": (ja_vicuna, ["gpt-4"]),
    "wmt-newstest2020-ende": (partial(wmt_mqm, test="newstest2020_ende", language="de"), ["mqm"]),
    "wmt-newstest2020-zhen": (partial(wmt_mqm, test="newstest2020_zhen", language="en"), ["mqm"]),
    "wmt-ted-ende": (partial(wmt_mqm, test="ted_ende", language="de"), ["mqm"]),
    "ru-arena": (ru_arena, [None]),
    "x-alpacaeval": (x_alpacaeval, [None]),
}



def teachers_of(answers, scores, judge):
    """The models that the judge scored, or that answered where nobody did, as {id: name}: ids have no dots."""
    models = {row["model"] for row in (scores or answers) if judge in (None, row.get("judge"))}
    return dict(sorted((re.sub(r"[^A-Za-z0-9_-]", "_", model), model) for model in models))


def recipe(teachers, judge):
    replay = lambda id, model: f'  - {{id: {id}, license: unknown, replay: {{file: answers.jsonl, model: "{model}"}}}}\n'
    pool = "".join(replay(id, model) for id, model in teachers.items())
    arbiter = f'arbiters:\n  - {{id: recorded, recorded: {{file: scores.jsonl, judge: "{judge}"}}}}\n' if judge else ""
    scored, learn = (", arbiter: recorded", "\n      calibration: calibration") if judge else ("", "")
    choose = "\n        single: {router: {single: best}}\n        fixed: {router: fixed}" if judge else ""
    singles = "".join(f"\n        single-{id}: {{router: {{single: {id}}}}}" for id in teachers)
    return f"""name: recorded
seed: 7
pool:
{pool}{arbiter}steps:
  - {{id: known, prompts: {{file: calibration.jsonl}}}}
  - {{id: held-out, prompts: {{file: compare.jsonl}}}}
  - id: calibration
    generate: {{prompts: known, router: all{scored}, eligibility: {{allow_unknown_license: true}}}}
  - id: answers
    generate: {{prompts: held-out, router: all{scored}, eligibility: {{allow_unknown_license: true}}}}
  - id: compared
    select:
      from: answers{learn}
      eligibility: {{allow_unknown_license: true}}
      gates: {{language: null, repetition: null, echo: null, mixed: null, refusal: null}}
      align: none
      strategies:{choose}
        random: {{router: random}}
        reward: {{router: all}}{singles}
"""


def write(out, prompts, answers, scores, judge):
    out.mkdir(parents=True, exist_ok=True)
    halves = {"calibration": prompts[0::2], "compare": prompts[1::2]}
    files = {"prompts": prompts, **halves, "answers": answers, "scores": scores}
    for name, of_file in files.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in of_file)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (out / "recipe.yaml").write_text(recipe(teachers_of(answers, scores, judge), judge), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[2] not in SETS:
        sys.exit(f"{__doc__}\nSets and their judges: " + "; ".join(f"{name} ({judges})" for name, (_, judges) in SETS.items()))
    data, name, judge, out = sys.argv[1:]
    write(Path(out), *SETS[name][0](Path(data)), None if judge == "-" else judge)
