# Kendall's tau-b, the golden numbers of `tests/decisions/ensembles.rs`.
# scipy==1.17.1, Python 3; run: python kendall.py > kendall.json
import json
import random

from scipy.stats import kendalltau

random.seed(4)
cases = [
    [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]],
    [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]],
    [[1.0, 1.0, 2.0], [1.0, 2.0, 2.0]],
    [[0.5, -1.5, 2.5, 2.5], [10.0, 20.0, 20.0, 30.0]],
]
for n in [5, 8, 13, 40, 200]:
    ties = [float(random.randint(0, n // 3 + 1)) for _ in range(n)]
    cases.append([ties, [value + random.gauss(0, 2) for value in ties]])
    cases.append([ties, [float(random.randint(0, 3)) for _ in range(n)]])
taus = [float(kendalltau(a, b).statistic) for a, b in cases]
print(json.dumps({"cases": [{"a": a, "b": b, "tau": tau} for (a, b), tau in zip(cases, taus)]}))
