# Mean utilities of minimum Bayes risk with sacreBLEU's sentence chrF (beta = 1) as utility, the golden numbers of
# `tests/decisions/mbr.rs`.
# sacrebleu==2.6.0, Python 3.11 or later; run: python -P mbr.py > mbr.json (-P: a script beside it is called as a module
# of the standard library is)
import json
import unicodedata

from sacrebleu.metrics import CHRF

LONG = "Річки звиваються, бо вода на зовнішньому боці повороту тече швидше і забирає з собою більше ґрунту"
CASES = [
    # Answers as [text, has a vote]; evidence; the weight of one piece of it.
    [[["The capital of Egypt is Cairo.", True], ["Cairo is the capital of Egypt.", True], ["It is Alexandria.", True]], [], 1.0],
    [[["東京です。", True], ["日本の首都は東京です。", True], ["首都は東京である。", True], ["京都です。", True]], [], 1.0],
    [[[LONG + ".", True], [LONG + "!", True], ["Через течію.", True], ["Річки звиваються через течію води.", True]], [], 1.0],
    [[["eins zwei drei", True], ["eins zwei vier", False], ["fünf sechs", True]], [], 1.0],
    [[["القاهرة", True], ["عاصمة مصر هي القاهرة.", True]], ["عاصمة مصر القاهرة", "مدينة القاهرة هي العاصمة"], 0.5],
    [[["Cafe\u0301 noir", True], ["Café noir", True], ["Thé vert", True]], ["Un café noir", "Un café  noir"], 2.0],
    [[["only one", True]], [], 1.0],
    [[["same", True], ["same", True]], [], 1.0],
    [[["a b", False], ["c d", False]], [], 1.0],
    [[["left", True], ["right", True]], [], 1.0],
    [[["", False], ["नई दिल्ली राजधानी है।", True], ["राजधानी नई दिल्ली है।", True]], [], 1.0],
]
chrf = CHRF(beta=1)


def utility(a, b):
    return chrf.sentence_score(a, [b]).score / 100


def shingles(text):
    folded = " ".join(text.split())
    return {folded} if len(folded) < 5 else {folded[at : at + 5] for at in range(len(folded) - 4)}


def jaccard(a, b):
    a, b = shingles(a), shingles(b)
    return len(a & b) / len(a | b) if a | b else 1.0


def groups(texts):
    """Connected components of nearly equal texts, as sets of places."""
    found = []
    for at, text in enumerate(texts):
        near = [group for group in found if any(jaccard(text, texts[other]) > 0.9 for other in group)]
        found = [group for group in found if group not in near] + [{at}.union(*near)]
    return found


def mean_utilities(answers, evidence, weight):
    texts = [unicodedata.normalize("NFC", text) for text, _ in answers]
    evidence = [unicodedata.normalize("NFC", text) for text in evidence]
    scores = [0.0] * len(texts)
    for own in groups(texts):
        total = weights = 0.0
        votes = [(g, texts, 1.0) for g in groups(texts) if g != own and any(answers[at][1] for at in g)]
        for group, of, w in votes + [(g, evidence, weight) for g in groups(evidence)]:
            pairs = [utility(a, b) for a in {texts[at] for at in own} for b in {of[at] for at in group}]
            total += w * sum(pairs) / len(pairs)
            weights += w
        for at in own:
            scores[at] = total / weights if weights else 1.0
    return scores


cases = [
    {"answers": answers, "evidence": evidence, "weight": weight, "scores": mean_utilities(answers, evidence, weight)}
    for answers, evidence, weight in CASES
]
print(json.dumps({"cases": cases}, ensure_ascii=False, indent=1))
