# Sentence chrF and chrF++ of sacreBLEU, the golden numbers of `tests/decisions/arbiters.rs`.
# sacrebleu==2.6.0, Python 3; run: python chrf.py > chrf.json
import json

from sacrebleu.metrics import CHRF

PAIRS = [
    ["The cat sat on the mat.", "The cat is sitting on the mat."],
    ["Der Hund schläft (tief) im Garten.", "Der Hund schlief im Garten, \"tief\"."],
    ["Столиця України — Київ.", "Київ є столицею України."],
    ["日本の首都は東京です。", "東京は日本の首都である。"],
    ["عاصمة مصر هي القاهرة.", "القاهرة هي عاصمة مصر."],
    ["Türkiye'nin başkenti Ankara'dır.", "ANKARA, Türkiye'nin başkentidir!"],
    ["राजधानी नई दिल्ली है।", "नई दिल्ली राजधानी है।"],
    ["12", "12"],
    ["1", "2"],
    ["12.03.2024", "12.3.2024"],
    ["ab", "a  b"],
    ["", "nothing"],
    ["wholly different", "шосте березня"],
    ["the the the the", "the cat the hat"],
    ["... !!! ??", "!!! ... ?"],
    ["👍🏽 gut gemacht", "gut gemacht 👍"],
    ["two\nlines\tof text", "two lines of text"],
    ["a b c d e f g h", "h g f e d c b a"],
]
SETTINGS = {
    "chrf": {},
    "chrf++": {"word_order": 2},
    "beta1": {"beta": 1, "char_order": 4},
    "lower-space": {"lowercase": True, "whitespace": True, "word_order": 1},
}
scores = {
    name: [CHRF(**setting).sentence_score(hypothesis, [reference]).score for hypothesis, reference in PAIRS]
    for name, setting in SETTINGS.items()
}
print(json.dumps({"pairs": PAIRS, "scores": scores}, ensure_ascii=False, indent=1))
