# Intervals, tests and quantiles of SciPy and NumPy, the golden numbers of `tests/decisions/metrics.rs`.
# scipy==1.17.1, numpy==2.4.6, Python 3; run: python statistics.py > statistics.json
import json
import sys

sys.path.pop(0)  # this file's own name would hide the standard library's `statistics`

import numpy
from scipy import stats

TRIALS = [[0, 5], [5, 5], [1, 7], [60, 200], [137, 200], [699, 1400]]
SMALL = [[1, 1, -1, 1, 0, 1, 1, 1], [2, -1, 3, 1, 1, -1, 0, 2, 1, 1], [0.5, 1.25, -0.25], [1, -1, 1, -1]]
VALUES = [0.3, -1.2, 5.0, 2.2, 2.2, 0.0, 7.5, -3.1, 0.9]


def wilson(k, n):
    interval = stats.binomtest(k, n).proportion_ci(confidence_level=0.95, method="wilson")
    return [float(interval.low), float(interval.high)]


def sign_flip(differences):
    test = stats.permutation_test(
        (numpy.array(differences),), lambda x, axis: x.mean(axis=axis), vectorized=True,
        permutation_type="samples", n_resamples=numpy.inf, alternative="two-sided",
    )
    return float(test.pvalue)


def kappa(a, b):
    labels = sorted(set(a) | set(b))
    table = numpy.array([[sum(x == r and y == c for x, y in zip(a, b)) for c in labels] for r in labels], float)
    table /= table.sum()
    chance = float(table.sum(0) @ table.sum(1))
    return (float(numpy.trace(table)) - chance) / (1 - chance)


def cluster_bootstrap(sums, sizes, draws=200_000):
    rng = numpy.random.default_rng(1)
    picks = rng.integers(len(sums), size=(draws, len(sums)))
    ratio = numpy.array(sums)[picks].sum(1) / numpy.array(sizes)[picks].sum(1)
    return [float(ratio.std(ddof=1)), *map(float, numpy.quantile(ratio, [0.025, 0.975]))]


# 40 clusters of 1 to 3 games with sums of wins minus losses.
SIZES = [1 + i % 3 for i in range(40)]
SUMS = [((i * 7) % (2 * s + 1)) - s + (1 if i % 4 == 0 and s > 1 else 0) for i, s in enumerate(SIZES)]
SUMS = [max(-s, min(s, x)) for x, s in zip(SUMS, SIZES)]
A, B = "aabbccabcabcaab", "aabbcabbcaacbab"
print(json.dumps({
    "wilson": [[k, n, *wilson(k, n)] for k, n in TRIALS],
    "sign_flip": [[d, sign_flip(d)] for d in SMALL],
    "quantiles": {"values": VALUES, "at": [[q, float(numpy.quantile(VALUES, q))] for q in (0, 0.025, 0.2, 0.5, 0.975, 1)]},
    "kappa": [A, B, kappa(A, B)],
    "entropy": [[6, 3, 1], float(stats.entropy([6, 3, 1]))],
    "cluster_bootstrap": {"sums": SUMS, "sizes": SIZES, "se_low_high": cluster_bootstrap(SUMS, SIZES)},
}, indent=1))
