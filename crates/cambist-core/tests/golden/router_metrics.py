# How routers choose, the golden numbers of `tests/decisions/choosing.rs`, from their definitions alone.
# numpy==2.4.6, scikit-learn==1.9.1, scipy==1.17.1, Python 3; run:
# python router_metrics.py > router_metrics.json
import json
import math

import numpy as np
from scipy.stats import entropy
from sklearn.metrics import cohen_kappa_score

rng = np.random.default_rng(11)
TEACHERS, SOURCES, LANGUAGES = 4, 30, ["tr", "uk"]

# Raw rewards: 0 to 3 with many ties; None is an invalid answer. Every row has at least one valid answer.
raw, language, source = [], [], []
for at in range(SOURCES):
    for tag in LANGUAGES:
        row = [float(rng.integers(0, 4)) if rng.random() > 0.12 else None for _ in range(TEACHERS)]
        row[int(rng.integers(TEACHERS))] = float(rng.integers(0, 4))
        if at % 7 == 3:  # one valid answer: not looked at
            keep = next(m for m in range(TEACHERS) if row[m] is not None)
            row = [value if m == keep else None for m, value in enumerate(row)]
        raw.append(row), language.append(tag), source.append(at)
orders = [[int(m) for m in rng.permutation(TEACHERS)] for _ in raw]
best_of_language = {"tr": [2, 0, 1, 3], "uk": [1, 3, 0, 2]}
strategies = {
    "single": [[0, 1, 2, 3] for _ in raw],
    "fixed": [best_of_language[tag] for tag in language],
    "learned": orders,
}


def scale(values):
    m = np.median(values)
    for width in (1.4826 * np.median(np.abs(values - m)), np.std(values, ddof=1), 1.0):
        if width > 0:
            return m, width


scales = {tag: scale(np.array([v for r, l in zip(raw, language) if l == tag for v in r if v is not None])) for tag in LANGUAGES}
rewards = [[None if v is None else (v - scales[l][0]) / scales[l][1] for v in r] for r, l in zip(raw, language)]
valid = [[m for m in range(TEACHERS) if r[m] is not None] for r in rewards]
# Equal rewards and costs: the smaller id.
everybody = [max(v, key=lambda m: (r[m], -m)) for r, v in zip(rewards, valid)]


def measure(prompts):
    """Of prompts that weigh the same in each language, and languages the same."""
    share = {tag: 1.0 / sum(language[i] == tag for i in prompts) for tag in {language[i] for i in prompts}}
    mean = lambda of, some: sum(share_of[i] * of(i) for i in some) / sum(share_of[i] for i in some)
    share_of = {i: share[language[i]] for i in prompts}
    looked = [i for i in prompts if len(valid[i]) > 1]
    top = lambda i: max(rewards[i][m] for m in valid[i])
    ties = lambda i: [m for m in valid[i] if rewards[i][m] == top(i)]
    miss = lambda i, k: math.comb(TEACHERS - len(ties(i)), k) / math.comb(TEACHERS, k)
    spread = mean(lambda i: top(i) - np.mean([rewards[i][m] for m in valid[i]]), looked)
    floor = lambda i: min(rewards[i][m] for m in valid[i])
    told = {"n": len(looked), "spread": spread, "chance_hit_at": [mean(lambda i: 1 - miss(i, k), looked) for k in (1, 2, 3)]}
    regrets = {}
    told["strategies"] = {}
    for name, order in strategies.items():
        first = lambda i: order[i][0] if rewards[i][order[i][0]] is not None else None
        regret = lambda i: top(i) - (floor(i) if first(i) is None else rewards[i][first(i)])
        regrets[name] = mean(regret, looked)
        both = [i for i in looked if first(i) is not None]
        counts = [sum(share_of[i] for i in prompts if first(i) == m) / sum(share_of.values()) for m in range(TEACHERS)]
        told["strategies"][name] = {
            "regret": regrets[name],
            "relative_regret": regrets[name] / spread,
            "oracle_gain": 1 - regrets[name] / regrets["single"],
            "hit": mean(lambda i: first(i) in ties(i), looked),
            "hit_at": [mean(lambda i: any(m in ties(i) for m in order[i][:k]), looked) for k in (1, 2, 3)],
            "gain_on_fixed": regrets["fixed"] - regrets[name] if "fixed" in regrets else None,
            "kappa": cohen_kappa_score(
                [first(i) for i in both], [everybody[i] for i in both], sample_weight=[share_of[i] for i in both]
            ),
            "shares": counts,
            "without": 1 - sum(counts),
            "entropy": float(entropy(counts)),
            "effective_teachers": float(np.exp(entropy(counts))),
        }
    told["strategies"]["single"]["gain_on_fixed"] = regrets["fixed"] - regrets["single"]
    margins = [sorted((rewards[i][m] for m in valid[i]), reverse=True) for i in looked]
    margins = [m[0] - m[1] for m in margins]
    told["ties"] = int(sum(m == 0 for m in margins))
    told["largest_margin"] = max(margins)
    return told


def pit(values, weights, reward, lot):
    place = lambda v: -math.inf if v is None else v
    below = sum(w for v, w in zip(values, weights) if place(v) < place(reward))
    equal = sum(w for v, w in zip(values, weights) if place(v) == place(reward))
    return (below + lot * equal) / sum(weights)


cases = []
for _ in range(20):
    values = [None if rng.random() < 0.15 else float(rng.integers(0, 5)) for _ in range(12)]
    weights = [float(w) for w in rng.random(12)]
    reward = None if rng.random() < 0.2 else float(rng.integers(0, 5))
    lot = float(rng.random())
    cases.append({"values": values, "weights": weights, "reward": reward, "lot": lot, "pit": pit(values, weights, reward, lot)})
every = list(range(len(raw)))
of = {tag: measure([i for i in every if language[i] == tag]) for tag in LANGUAGES}
print(json.dumps({
    "raw": raw, "language": language, "source": source, "orders": strategies,
    "all": measure(every), "languages": of, "pit": cases,
}, default=float))
