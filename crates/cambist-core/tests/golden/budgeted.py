"""Budgeted routing by weighted scenarios, written in numpy from the formulas alone: the golden of tests/decisions/search.rs.

    python budgeted.py > budgeted.json        # Python 3.11.7, numpy 2.4.6


R (n, M): calibration rewards. finite = observed, -inf = asked and failed (paid, no answer), nan = never asked.
cost (M,): price of one ask. lang, tag, source: one label per calibration prompt (ints or strings).
Ties: lower price, then lower teacher index.
"""
import json

import numpy as np

def scale(x):
    """Median, and 1.4826 times the median absolute deviation (else the sample standard deviation, else 1)."""
    m = np.median(x)
    for width in (1.4826 * np.median(np.abs(x - m)), np.std(x, ddof=1), 1.0):
        if width > 0:
            return float(m), float(width)


class Policy:
    def __init__(self, R, cost, lang, tag, source, g, t, h, a):
        self.R, self.cost = np.asarray(R, float), np.asarray(cost, float)
        self.lang, self.tag, self.source = map(np.asarray, (lang, tag, source))
        self.g, self.t, self.h, self.a = g, t, h, a
        self.sd = 1.0  # rewards come on the scale of their language
        self.known = ~np.isnan(self.R)
        self.finite = np.isfinite(self.R)

    # ---- weights -------------------------------------------------------------------------------------------------
    def prior(self, lang, tag, leave_out=None):
        """Weight of every scenario before anything is observed; sums to 1."""
        w = np.where(self.lang == lang, 1.0, self.g) * np.where(self.tag == tag, 1.0, self.t)
        if leave_out is not None:
            w = w * (self.source != leave_out)
        if w.sum() == 0:  # a language never seen and g = 0: every scenario counts
            w = np.ones(len(self.R)) if leave_out is None else (self.source != leave_out) * 1.0
        return w / w.sum()

    def posterior(self, prior, loglik):
        p = prior * np.exp(loglik - loglik[prior > 0].max())
        return (1 - self.a) * p / p.sum() + self.a * prior

    def likelihood(self, m, y):
        """Log-likelihood of reward y of teacher m under every scenario; 0 where either side has no reward."""
        if np.isinf(self.h) or not np.isfinite(y):
            return np.zeros(len(self.R))
        f = self.finite[:, m]
        return np.where(f, -np.abs(y - np.where(f, self.R[:, m], 0.0)) / (self.h * self.sd), 0.0)

    # ---- indices -------------------------------------------------------------------------------------------------
    def mean(self, w, m):
        """Mean of the valid rewards of teacher m."""
        k = self.finite[:, m]
        s = (w * k).sum()
        return float((w[k] * self.R[k, m]).sum() / s) if s > 0 else -np.inf

    def first_indices(self, W, lams, m):
        """Reservation values z of teacher m, one for each prior (row of W) and lambda: sum_k w_k (x_k - z)+ = lambda c_m.

        A failed scenario keeps its weight and gives nothing; lambda = inf: the mean. One sort, then a search per prior."""
        k = np.flatnonzero(self.known[:, m])
        x = self.R[k, m]
        f = np.argsort(-x, kind="stable")
        f = f[np.isfinite(x[f])]
        xs, out = x[f], np.full((len(W), len(lams)), -np.inf)
        kap = np.asarray(lams) * self.cost[m]
        for r, w in enumerate(W):
            s = w[k].sum()
            if s <= 0 or len(f) == 0 or (w[k][f]).sum() <= 0:
                continue
            ws = w[k][f] / s
            Wc, Sc = np.cumsum(ws), np.cumsum(ws * xs)
            E = np.append(Sc[:-1] - Wc[:-1] * xs[1:], np.inf)  # z lies above x_(k+1) iff kappa <= E_k, rising in k
            E[Wc <= 0] = -np.inf
            j = np.minimum(np.searchsorted(E, kap), len(f) - 1)
            out[r] = np.where(np.isinf(kap), Sc[-1] / Wc[-1], (Sc[j] - np.where(np.isinf(kap), 0, kap)) / Wc[j])
        return out

    def gain_rate(self, w, best, m):
        """Expected improvement on best per unit of money."""
        k = self.finite[:, m]
        s = (w * self.known[:, m]).sum()
        return float((w[k] * np.maximum(self.R[k, m] - best, 0)).sum() / s / self.cost[m]) if s > 0 else 0.0

    def plan(self, prior, loglik, best, closed, lam, first):
        """Closed teachers worth an ask, best first, with their indices; [] = stop."""
        if first:  # reservation values under the prior, no stop
            idx = {m: float(self.first_indices(prior[None], [lam], m)[0, 0]) for m in closed}
            keep = closed
        elif not np.isfinite(best):  # only failures so far: the largest mean, no stop
            w = self.posterior(prior, loglik)
            idx = {m: self.mean(w, m) for m in closed}
            keep = closed
        else:
            w = self.posterior(prior, loglik)
            idx = {m: self.gain_rate(w, best, m) for m in closed}
            keep = [m for m in closed if idx[m] > lam]
        return [(m, idx[m]) for m in sorted(keep, key=lambda m: (-idx[m], self.cost[m], m))]

    def decide(self, lang, tag, ask, eligible, lam, width=1, max_asks=None):
        """ask(m) -> reward or -inf on failure. Returns chosen teacher or None, asked order, trace of plans."""
        prior, ll, best, chosen = self.prior(lang, tag), np.zeros(len(self.R)), -np.inf, None
        closed, asked, trace = list(eligible), [], []
        limit = len(closed) if max_asks is None else min(max_asks, len(closed))
        while closed and len(asked) < limit:
            p = self.plan(prior, ll, best, closed, lam, not asked)
            trace.append(p)
            if not p:
                break
            for m, _ in p[: min(width, limit - len(asked))]:
                y = ask(m)
                asked.append(m)
                closed.remove(m)
                ll = ll + self.likelihood(m, y)
                if np.isfinite(y) and (chosen is None or (-y, self.cost[m], m) < (-best, self.cost[chosen], chosen)):
                    best, chosen = y, m
        return chosen, asked, trace


def main():
    r = np.random.default_rng(7)
    n, teachers = 40, 4
    levels = np.array([1, 0.5, 0, -0.5])

    def draw(k):
        hardness = r.normal(size=(k, 1))
        return np.round(6 + 1.5 * hardness + 1.5 * r.normal(size=(k, teachers)) + levels).clip(1, 10)

    raw = draw(n)
    raw[3, 1] = raw[11, 0] = -np.inf
    raw[7, 2] = raw[20, 3] = np.nan
    new = draw(10)
    new[4] = [-np.inf, 5, 6, -np.inf]
    new[6, 1] = -np.inf
    lang = np.array(["de" if i % 2 else "en" for i in range(n)])
    tag = np.array([["math", "chat", "code"][i % 3] for i in range(n)])
    source = np.array([f"s{i // 2}" for i in range(n)])
    scales = {l: scale(raw[lang == l][np.isfinite(raw[lang == l])]) for l in ("en", "de")}
    elsewhere = tuple(np.mean([scales["en"], scales["de"]], axis=0))
    center = np.array([scales[l][0] for l in lang])[:, None]
    width = np.array([scales[l][1] for l in lang])[:, None]
    cost = [1.0, 0.5, 0.5, 2.0]
    policy = Policy((raw - center) / width, cost, lang, tag, source, g=0.3, t=0.3, h=1.0, a=0.3)
    decisions = []
    for i in range(len(new)):
        l, t = ["en", "de", "fr"][i % 3], ["math", "chat", "other"][i % 3]
        eligible = [0, 1, 2, 3] if i != 2 else [1, 2, 3]
        c, w = scales.get(l, elsewhere)
        rewards = (new[i] - c) / w
        for lam, rounds in ((0.02, 1), (0.3, 1), (0.3, 2), (1.5, 1), (1e6, 1)):
            chosen, asked, trace = policy.decide(l, t, lambda m: rewards[m], eligible, lam, width=rounds)
            decisions.append(
                dict(lang=l, tag=t, eligible=eligible, lam=lam, width=rounds, chosen=chosen, asked=asked,
                     rewards=[v if np.isfinite(v) else None for v in rewards.tolist()],
                     plans=[[m for m, _ in p] for p in trace])
            )
    rows = [["fail" if v == -np.inf else None if np.isnan(v) else v for v in row] for row in raw.tolist()]
    golden = dict(rewards=rows, cost=cost, lang=lang.tolist(), tag=tag.tolist(), decisions=decisions)
    print(json.dumps(golden))


if __name__ == "__main__":
    main()
