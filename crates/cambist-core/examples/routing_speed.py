# The peer of routing_speed.rs: scikit-learn on the same prompts, rewards and folds' worth of work.
# scikit-learn==1.9.1, numpy==2.4.6, scipy; run: OMP_NUM_THREADS=2 python routing_speed.py FILE
#
# HashingVectorizer of characters (2 to 5) and of words (1 to 2) into 2^16 signed buckets each, one-hot languages; Ridge
# (sparse_cg, alpha 8) for nine teachers on all rows. One fit: choosing a penalty by five folds would take 30 of them on a
# part of the rows, as routing_speed.rs does for three heads.
import json
import sys
import time

import numpy as np
from scipy.sparse import hstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import Ridge
from sklearn.preprocessing import OneHotEncoder

rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
texts = [row["prompt"] for row in rows]
languages = np.array([[row["language"]] for row in rows])
rewards = np.array([row["rewards"] for row in rows])
characters = HashingVectorizer(analyzer="char", ngram_range=(2, 5), n_features=2**16)
words = HashingVectorizer(ngram_range=(1, 2), n_features=2**16)
one_hot = OneHotEncoder().fit(languages)


def features(texts, languages):
    return hstack([characters.transform(texts), words.transform(texts), one_hot.transform(languages)]).tocsr()


begun = time.perf_counter()
x = features(texts, languages)
print(f"features: {time.perf_counter() - begun:.2f} s")
fitted = Ridge(alpha=8.0, solver="sparse_cg").fit(x, rewards)
print(f"one fit: {time.perf_counter() - begun:.2f} s")
n = min(len(texts), 20_000)
begun = time.perf_counter()
chosen = fitted.predict(features(texts[:n], languages[:n])).argmax(1)
print(f"{n} prompts routed in {time.perf_counter() - begun:.2f} s, mean reward {rewards[np.arange(n), chosen].mean():.4f}")
