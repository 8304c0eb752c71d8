# Routing heads fitted by others, the golden numbers of `tests/decisions/heads.rs`.
# scikit-learn==1.9.1, torch==2.15.0, numpy==2.4.6, Python 3; run: python -P heads.py > heads.json
#
# 120 prompts with 12 of 40 features each, in 3 languages, 4 teachers; in half of the cases some teachers may not be asked.
# scikit-learn knows one penalty: columns of languages are scaled so that theirs comes to 1. It knows no soft labels and no
# teachers that may not be asked: a prompt stands there once for each teacher, weighted by its share, and the cases with
# such teachers are PyTorch's (L-BFGS in float64 on the same objective, written down once more).
import json

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, Ridge

rng = np.random.default_rng(5)
N, D, T, L = 120, 40, 4, 3
rows, X = [], np.zeros((N, D))
for i in range(N):
    columns = sorted(rng.choice(D, 12, replace=False).tolist())
    values = np.round(rng.normal(size=12) / 3, 4)
    X[i, columns] = values
    rows.append({"features": columns, "values": values.tolist(), "language": int(rng.integers(L))})
language = np.array([row["language"] for row in rows])
one_hot = np.eye(L)[language]
truth = rng.normal(size=(D, T)) * 0.8
R = np.round(X @ truth + one_hot @ rng.normal(size=(L, T)) + rng.normal(size=(N, T)) * 0.7, 3)
open_ = rng.random((N, T)) > 0.25
open_[open_.sum(1) < 2] = True


def design(penalty):
    return np.hstack([X, one_hot * np.sqrt(penalty)])


def centred(scores):
    return scores - scores.mean(1, keepdims=True)


def ridge(penalty, mask):
    scores = np.zeros((N, T))
    for t in range(T):
        fitted = Ridge(alpha=penalty, solver="svd").fit(design(penalty)[mask[:, t]], R[mask[:, t], t])
        scores[:, t] = fitted.predict(design(penalty))
    return scores


def kl_by_sklearn(penalty, tau):
    q = np.exp(R / tau - (R / tau).max(1, keepdims=True))
    q /= q.sum(1, keepdims=True)
    fitted = LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=100000)
    fitted.fit(np.repeat(design(penalty), T, 0), np.tile(np.arange(T), N), sample_weight=q.reshape(-1))
    return centred(fitted.decision_function(design(penalty)))


def two_by_sklearn(penalty):
    """Two teachers: the difference of their scores is a logistic regression with half the penalty."""
    differs = R[:, 0] != R[:, 1]
    half = np.hstack([X, one_hot * np.sqrt(penalty)])
    fitted = LogisticRegression(C=2 / penalty, tol=1e-12, max_iter=100000)
    fitted.fit(half[differs], (R[:, 0] > R[:, 1])[differs])
    difference = fitted.decision_function(half)
    return np.stack([difference / 2, -difference / 2], 1)


def by_torch(loss, penalty):
    f64 = lambda a: torch.tensor(a, dtype=torch.float64)
    x, hot = f64(X), f64(one_hot)
    w, o, a = [torch.zeros(s, dtype=torch.float64, requires_grad=True) for s in ((D, T), (L, T), (T,))]
    optimizer = torch.optim.LBFGS(
        [w, o, a], max_iter=5000, tolerance_grad=1e-12, tolerance_change=1e-16, history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        value = loss(x @ w + hot @ o + a) + penalty / 2 * (w**2).sum() + 0.5 * (o**2).sum()
        value.backward()
        return value

    optimizer.step(closure)
    return centred((x @ w + hot @ o + a).detach().numpy())


def kl_loss(tau):
    mask = torch.tensor(open_)
    shut = lambda s: s.masked_fill(~mask, -torch.inf)
    q = torch.softmax(shut(torch.tensor(R / tau)), 1)

    def loss(scores):
        log_p = torch.log_softmax(shut(scores), 1).masked_fill(~mask, 0.0)
        return torch.nn.functional.kl_div(log_p, q, reduction="sum")

    return loss


def bt_loss(scores):
    total = 0.0
    for i in range(N):
        pairs = [(a, b) for a in range(T) for b in range(T) if open_[i, a] and open_[i, b] and R[i, a] > R[i, b]]
        losses = [torch.nn.functional.softplus(scores[i, b] - scores[i, a]) for a, b in pairs]
        total = total + torch.stack(losses).mean()
    return total


everyone = np.ones((N, T), bool)
cases = [
    ("ridge", None, 2.0, False, ridge(2.0, everyone)),
    ("ridge", None, 0.3, True, ridge(0.3, open_)),
    ("kl", 0.5, 1.0, False, kl_by_sklearn(1.0, 0.5)),
    ("kl", 1.5, 0.2, True, by_torch(kl_loss(1.5), 0.2)),
    ("bt", None, 0.5, True, by_torch(bt_loss, 0.5)),
    ("bt-two", None, 1.0, False, two_by_sklearn(1.0)),
]
out = [
    {"loss": loss, "tau": tau, "penalty": penalty, "masked": masked, "scores": np.round(scores, 7).tolist()}
    for loss, tau, penalty, masked, scores in cases
]
rewards = [[None if not o else r for r, o in zip(*pair)] for pair in zip(R.tolist(), open_.tolist())]
print(json.dumps({"rows": rows, "rewards": R.tolist(), "masked": rewards, "cases": out}))
