#!/usr/bin/env python3
"""Ids of many generated texts by HuggingFace's own `tokenizers`, for scripts/parity/compare_tokenizer.mjs.

    pip install tokenizers
    python3 scripts/parity/make_tokenizer_strings.py TOKENIZER.json 80000 > strings.jsonl
    node scripts/parity/compare_tokenizer.mjs TOKENIZER_FOLDER strings.jsonl

Each line holds a text, its ids, and its ids where special tokens are ordinary text (`encode_special_tokens`). Texts are
pieces of clinical text, numbers, white space, added tokens whole and cut off, letters of many scripts, combining marks in
composed and decomposed form, emoji and any other code point, put together at random from a fixed seed.
"""
import json
import random
import sys
import unicodedata

import tokenizers

path, count = sys.argv[1], int(sys.argv[2])
seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
draw = random.Random(seed)
tokenizer = tokenizers.Tokenizer.from_file(path)
added = [token["content"] for token in json.load(open(path, encoding="utf8")).get("added_tokens", [])]

WORDS = """Hemoglobin Sodium creatinine BNP I50.9 ICD10CM//I50.9 LOINC/2345-7 mg/dL g/dl µg/L μg/L 10^9/L mmol/l discharge
patient's don't DON'T we'll I've they're o'clock Na+ SpO₂ HbA1c 12.3 0.004 1e-5 >6 <6 126.00 2024-01-10 08:30 U07.1 H₂O
naïve Müller Ñandú ΑΒΓ здоровье 患者 貧血 환자 مريض חולה रोगी ผู้ป่วย""".split()
SPACES = [" ", "  ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "\ufeff", " \n ", ""]
MARKS = ["\u0301", "\u0323", "\u0307", "\u0327", "\u200d", "\ufe0f", "\u20dd"]


def letters():
    base = draw.choice([0x41, 0xC0, 0x370, 0x400, 0x5D0, 0x627, 0x905, 0xE01, 0x1100, 0x3041, 0x4E00, 0xAC00, 0x1F600])
    return "".join(chr(base + draw.randrange(48)) for _ in range(draw.randrange(1, 6)))


def anything():
    while True:
        point = draw.randrange(0x110000) if draw.random() < 0.3 else draw.randrange(0x3000)
        if not 0xD800 <= point < 0xE000:
            return chr(point)


def token():
    whole = draw.choice(added) if added else "<|x|>"
    kind = draw.random()
    if kind < 0.6:
        return whole
    cut = draw.randrange(1, len(whole))
    return whole[:cut] if kind < 0.8 else whole[cut:]


def piece():
    kind = draw.random()
    if kind < 0.35:
        return draw.choice(WORDS)
    if kind < 0.45:
        return str(draw.randrange(10 ** draw.randrange(1, 12)))
    if kind < 0.65:
        return draw.choice(SPACES)
    if kind < 0.75:
        return letters()
    if kind < 0.82:
        return draw.choice("aeiouAEIOUnqsk") + draw.choice(MARKS) * draw.randrange(1, 3)
    if kind < 0.9:
        return token()
    if kind < 0.95:
        return draw.choice("!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~") * draw.randrange(1, 4)
    return anything()


for _ in range(count):
    text = "".join(piece() for _ in range(draw.randrange(1, 24)))
    if draw.random() < 0.2:
        text = unicodedata.normalize(draw.choice(["NFC", "NFD", "NFKC"]), text)
    tokenizer.encode_special_tokens = False
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = True
    as_text = tokenizer.encode(text, add_special_tokens=False).ids
    print(json.dumps({"text": text, "ids": ids, "asText": as_text}))
