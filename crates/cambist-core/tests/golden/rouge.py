# ROUGE-1, ROUGE-2 and ROUGE-L of the `rouge-score` package without stemming, the golden numbers of
# `tests/decisions/rouge.rs`.
# rouge-score==0.1.2, Python 3; run: python rouge.py > rouge.json
import json

from rouge_score import rouge_scorer

PAIRS = [
    ["The cat sat on the mat.", "The cat is sitting on the mat."],
    ["police killed the gunman", "police kill the gunman"],
    ["the gunman kill police", "police kill the gunman"],
    ["A B C D E F", "a c e f g"],
    ["the the the the", "the cat the dog"],
    ["It's 3.5 km to the well-known town.", "The well known town is 3,5 km away; it is!"],
    ["no overlap here", "completely different words"],
    ["", "nothing"],
    ["one", "one"],
    ["snake_case stays, CamelCase too", "snake_case stays and camelcase too"],
    ["a long answer that says much more than what was asked for in the first place", "what was asked for"],
]
KINDS = ["rouge1", "rouge2", "rougeL"]
scorer = rouge_scorer.RougeScorer(KINDS, use_stemmer=False)
scores = {kind: [] for kind in KINDS}
for answer, reference in PAIRS:
    found = scorer.score(reference, answer)
    for kind in KINDS:
        scores[kind].append([found[kind].precision, found[kind].recall, found[kind].fmeasure])
print(json.dumps({"pairs": PAIRS, "scores": scores}, ensure_ascii=False, indent=1))
