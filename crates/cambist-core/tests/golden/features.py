# Hashed features written down once more, the golden numbers of `tests/decisions/features.rs`.
# regex==2026.11.19 (its words are those of Unicode's UAX 29), Python 3; run: python -P features.py > features.json
#
# Cues (the first 18 features) are left out; values have 6 digits.
import json
import math
import unicodedata

import regex

N_CUES, BITS, M32 = 18, 16, 0xFFFFFFFF
BASIS, PRIME = 0x811C9DC5, 0x01000193
OF_LENGTH = {2: 0x8DA6B343, 3: 0xD8163841, 4: 0xCB1AB31F, 5: 0x165E9A15}
WORD, PAIR = 0x27D4EB2F, 0x9E3779B1


def mix(h):
    h ^= h >> 16
    h = h * 0x85EBCA6B & M32
    h ^= h >> 13
    h = h * 0xC2B2AE35 & M32
    return h ^ h >> 16


def fnv(text):
    h = BASIS
    for c in text:
        h = (h ^ ord(c)) * PRIME & M32
    return h


def fold(text):
    one = lambda c: c.casefold() if len(c.casefold()) == 1 else c
    return " " + " ".join("".join(map(one, unicodedata.normalize("NFKC", text))).split()) + " "


def block(hashes, features):
    counts = {}
    for h in hashes:
        counts[h] = counts.get(h, 0) + 1
    weights = {h: 1 + math.log(n) for h, n in counts.items()}
    length = math.sqrt(sum(w * w for w in weights.values()) * 2)
    for h, w in weights.items():
        at = N_CUES + (h & (1 << BITS) - 1)
        features[at] = features.get(at, 0.0) + (-1 if h >> 31 else 1) * w / length


def features(text):
    folded, found = fold(text), {}
    grams = [(n, folded[i : i + n]) for i in range(len(folded)) for n in OF_LENGTH if i + n <= len(folded)]
    block([mix(fnv(gram) ^ OF_LENGTH[n]) for n, gram in grams], found)
    segments = regex.split(r"(?wV1)\b", folded)
    words = [fnv(word) for word in segments if any(c.isalnum() for c in word)]
    rotated = lambda h: (h << 7 | h >> 25) & M32
    pairs = [mix(a * PRIME & M32 ^ rotated(b) ^ PAIR) for a, b in zip(words, words[1:])]
    block([mix(word ^ WORD) for word in words] + pairs, found)
    return sorted([at, round(value, 6)] for at, value in found.items())


texts = [
    "Write the date, then the date again.",
    "Größe und ＧＲÖＳＳＥ\n\tim Süden",
    "ΣΟΦΟΣ ή σοφός;",
    "Şu İstanbul'da kaç köprü var?",
    "اكتب العدد ١٢ بالحروف",
]
print(json.dumps([{"text": text, "features": features(text)} for text in texts]))
