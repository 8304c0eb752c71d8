#!/usr/bin/env python3
"""What strategies make of recorded answers, computed without cambist from what `scripts/recorded_sets.py` reads.

    python sets.py FOLDER_WITH_THE_DATA > sets.json       [--table: the rows of docs/guide/recorded.md]

Made with Python 3.11.7 and pyarrow 26.0.1. Of each set the prompts at even places calibrate and those at odd places are
compared; equal prompts of one language count once. A strategy's cells are prompts, kept answers, mean reward, regret.
"""
import hashlib
import json
import re
import statistics
import sys
import unicodedata
from collections import defaultdict
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4] / "scripts"))
from recorded_sets import SETS, teachers_of

PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~\u2010-\u2027\u2030-\u205e\u3001-\u3003\u3008-\u3011¿¡«»،؛؟·]")


def fold(text):
    """How duplicates are compared: signs before digits and percent signs behind them stay."""
    chars = list(unicodedata.normalize("NFKC", text).lower())
    digit = lambda at: 0 <= at < len(chars) and chars[at].isnumeric()
    stays = lambda at, c: not PUNCTUATION.match(c) or digit(at + 1) or (c == "%" and digit(at - 1))
    return " ".join("".join(c for at, c in enumerate(chars) if stays(at, c)).split()) or " ".join(text.split())


def distinct(prompts):
    first = {}
    for row in prompts:
        first.setdefault((row["language"].lower().replace("_", "-"), fold(row["prompt"])), row["id"])
    by_language = defaultdict(list)
    for (language, _), id in first.items():
        by_language[language].append(id)
    return by_language


def lot(seed, id, n):
    """The first number below `n` of the stream named by seed, `random` and the prompt: SplitMix64 from a SHA-256."""
    length = lambda text: len(text.encode()).to_bytes(8, "little") + text.encode()
    state = hashlib.sha256(seed.to_bytes(8, "little") + length("random") + length(id)).digest()[:8]
    mask, z = 2**64 - 1, (int.from_bytes(state, "little") + 0x9E3779B97F4A7C15) & (2**64 - 1)
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
    return (z ^ z >> 31) * n >> 64


def mean(values):
    """In the order of the prompts, without the corrections of newer Pythons."""
    total = 0.0
    for value in values:
        total += value
    return total / len(values) if values else None


def quantile(values, q):
    ordered, place = sorted(values), q * (len(values) - 1)
    low = int(place)
    return ordered[low] + (ordered[min(low + 1, len(ordered) - 1)] - ordered[low]) * (place - low)


def calibrated(by_language, teachers, reward):
    """Best teacher over all languages, and the best one of each language that has 30 prompts or more."""
    normal = defaultdict(dict)
    for language, ids in by_language.items():
        valid = [reward[id, t] for id in ids for t in teachers if (id, t) in reward]
        if not valid:
            continue
        median = quantile(valid, 0.5)
        spread = 1.4826 * quantile([abs(v - median) for v in valid], 0.5)
        width = spread or (statistics.stdev(valid) if len(valid) > 1 else 0) or 1.0
        floor = quantile([(v - median) / width for v in valid], 0.05)
        for t in teachers:
            normal[language][t] = [(reward[id, t] - median) / width if (id, t) in reward else floor for id in ids]
    best = lambda worth: max(teachers, key=worth)  # of equals the first by id
    single = best(lambda t: mean([mean(normal[l][t]) for l in sorted(normal)]))
    pooled = best(lambda t: mean([v for l in sorted(normal) for v in normal[l][t]]))
    enough = lambda l: l in normal and len(by_language[l]) >= 30
    return single, lambda l: best(lambda t: mean(normal[l][t])) if enough(l) else pooled


def figures(prompts, answers, scores, judge):
    teachers = teachers_of(answers, scores, judge)
    id = {model: id for id, model in teachers.items()}
    text = {(r["prompt_id"], id[r["model"]]) for r in answers if r["model"] in id and (r["text"] or "").strip()}
    given = [((r["prompt_id"], id[r["model"]]), r["score"]) for r in scores if r["judge"] == judge]
    reward = {cell: float(value) for cell, value in given if value is not None and cell in text}
    rewards = lambda p: {t: reward[p, t] for t in teachers if (p, t) in reward}
    choose = {f"single-{t}": lambda _, p, t=t: t for t in teachers}
    choose["random"] = lambda _, p: list(teachers)[lot(7, p, len(teachers))]
    choose["reward"] = lambda _, p: max(rewards(p), key=rewards(p).get, default=None)
    compared, chosen = distinct(prompts[1::2]), {}
    if reward:
        single, fixed = calibrated(distinct(prompts[0::2]), list(teachers), reward)
        choose |= {"single": lambda _, p: single, "fixed": lambda language, p: fixed(language)}
        chosen = {"single": single, "fixed": {language: fixed(language) for language in sorted(compared)}}
    table = defaultdict(dict)
    for name, (language, ids) in product(sorted(choose), sorted(compared.items())):
        kept = [(p, t) for p in ids for t in [choose[name](language, p)] if (p, t) in text]
        scored = [cell for cell in kept if cell in reward]
        regret = [max(rewards(p).values()) - reward[p, t] for p, t in scored]
        table[name][language] = [len(ids), len(kept), mean([reward[cell] for cell in scored]), mean(regret)]
    return {"teachers": teachers, "chosen": chosen, "strategies": table}


def row(name, judge, language, cells):
    """Mean rewards, with the prompts that were kept where those are not all; the share is how much of what the best
    answers gain over a lot the table by language gains, where all keep the same prompts."""
    n, means = cells[0][0], [cell[2] for cell in cells]
    told = [f"{cell[2]:.3f}" + (f" ({cell[1]})" if cell[1] < n else "") for cell in cells]
    single, random, fixed, reward = means
    share = f"{(fixed - random) / (reward - random):.2f}" if all(cell[1] >= 0.99 * n for cell in cells) else "n/a"
    return f"| {name} | {judge} | {language} | {n} | {' | '.join(told)} | {share} |"


def table(every):
    """The languages in which two teachers or more have scores; many languages as the mean over them."""
    for (name, judge), found in every.items():
        strategies, n = found["strategies"], len(found["teachers"])
        scored = lambda l: sum(strategies[f"single-{t}"][l][2] is not None for t in found["teachers"]) > 1
        four = [strategies[s] for s in ("single", "random", "fixed", "reward") if s in strategies]
        languages = [language for language in four[0] if scored(language)]
        if len(languages) > 12:
            total = lambda of: [sum(of[l][0] for l in languages), sum(of[l][1] for l in languages), mean([of[l][2] for l in languages])]
            print(row(f"{name} ({n})", judge, f"{len(languages)} languages", [total(of) for of in four]))
            languages = sorted(languages, key=lambda l: four[2][l][2] - four[0][l][2])[-3:]
        for language in languages:
            print(row(f"{name} ({n})", judge, language, [of[language] for of in four]))


data = Path(sys.argv[1])
read = {name: reader(data) for name, (reader, _) in SETS.items()}
every = {(name, judge): figures(*read[name], judge) for name, (_, judges) in SETS.items() for judge in judges}
if "--table" in sys.argv:
    table(every)
else:
    for_test = [{"set": name, "judge": judge} | found for (name, judge), found in every.items()]
    print("[" + ",\n".join(json.dumps(found, ensure_ascii=False) for found in for_test) + "]")
