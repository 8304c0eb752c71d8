# The peers of routing_speed.rs: scikit-learn and RouteLLM on the same prompts.
# scikit-learn==1.9.1, numpy==2.4.6, scipy; routellm==0.2.0 and torch==2.15.0 where they are installed
# run: OMP_NUM_THREADS=2 python routing_speed.py FILE
#
# scikit-learn: HashingVectorizer of characters (2 to 5) and of words (1 to 2) into 2^16 signed buckets each, one-hot
# languages; Ridge (sparse_cg, alpha 8) for nine teachers on all rows. One fit: choosing a penalty by five folds would
# take 30 of them on a part of the rows, as routing_speed.rs does for three heads.
# RouteLLM: the forward pass of its matrix factorisation router alone, with its sizes (128 dimensions, 64 models, prompts
# embedded in 1,536), on random weights and random embeddings of prompts: those come from a paid server, one call each.
import json
import os
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
print(f"one fit of {len(texts)}: {time.perf_counter() - begun:.2f} s with the features")
n = min(len(texts), 20_000)
begun = time.perf_counter()
chosen = fitted.predict(features(texts[:n], languages[:n])).argmax(1)
taken = time.perf_counter() - begun
mean = rewards[np.arange(n), chosen].mean()
print(f"{n} prompts routed in {taken:.2f} s, {taken / n * 1e6:.1f} us each, mean reward {mean:.4f}")

os.environ.setdefault("OPENAI_API_KEY", "not used")  # RouteLLM makes its client as it is imported
try:
    import torch
    from routellm.routers.matrix_factorization.model import MFModel
except ImportError as error:
    sys.exit(f"RouteLLM is not timed: {error}")
model = MFModel(dim=128, num_models=64, text_dim=1536, num_classes=1, use_proj=True).eval()
embedded = torch.randn(20_000, 1536)
begun = time.perf_counter()
with torch.no_grad():
    for prompt in embedded[:2_000]:
        vectors = torch.nn.functional.normalize(model.P(torch.tensor([0, 1])), p=2, dim=1)
        model.classifier(vectors * model.text_proj(prompt)).squeeze()
taken = time.perf_counter() - begun
print(f"RouteLLM, two models, one prompt after the other: {taken / 2_000 * 1e6:.1f} us each without its embedding")
begun = time.perf_counter()
with torch.no_grad():
    vectors = torch.nn.functional.normalize(model.P(torch.arange(9)), p=2, dim=1)
    model.classifier(vectors[None] * model.text_proj(embedded)[:, None]).squeeze()
taken = time.perf_counter() - begun
print(f"RouteLLM, nine models, 20000 prompts at once: {taken / 20_000 * 1e6:.1f} us each without their embeddings")
