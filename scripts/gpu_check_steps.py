"""Times training steps of Qwen3-1.7B's shape on a card, and those of transformers beside them.

    python gpu_check_steps.py BENCH ROOT SECONDS [LAYERS...]

Each step in a process of its own, the smaller network first, until SECONDS are over. Without a card it does nothing. Prints
JSON, one line a step: tokens/s, the share of the card's bfloat16 products (as a product of 8,192 x 8,192 reaches them there)
and the most that its tensors held.
"""

import importlib.util
import json
import os
import subprocess
import sys
import time

import torch

SEQUENCES, TOKENS, STEPS = 5, 3300, 5


def product_rate():
    """FLOP/s of a large product in bfloat16: what the shares are of."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    seconds = []
    for _ in range(8):
        torch.cuda.synchronize()
        started = time.perf_counter()
        a @ a
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * 8192**3 / sorted(seconds)[4]


def measured(name, command, seconds, limit):
    row = {"name": name}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
        if found is None:
            row["failed"] = f"ended with {done.returncode}: {done.stderr.strip()[-400:]}"
    except subprocess.TimeoutExpired:
        found, row["failed"] = None, f"was not done within {seconds:.0f} s"
    except (ValueError, LookupError) as error:
        found, row["failed"] = None, f"printed no JSON: {error}"
    if found:
        median = sorted(found["seconds"])[len(found["seconds"]) // 2]
        row |= {"loss": found["loss"], "seconds": found["seconds"], "tokensPerSecond": found["tokens"] / median}
        if found.get("flops"):
            row["shareOfProducts"] = found["flops"] / median / limit
        row["peakBytes"] = found["peakBytes"]
    print(json.dumps(row), flush=True)
    print(f"gpu-check: {json.dumps(row)}", file=sys.stderr, flush=True)
    return found is not None


def main(bench, root, seconds, *layers):
    end = time.monotonic() + float(seconds)
    if not torch.cuda.is_available():
        return 0
    limit = product_rate()
    torch.cuda.empty_cache()
    print(json.dumps({"name": "product of 8,192 x 8,192 in bfloat16", "flopsPerSecond": limit}), flush=True)
    peer = os.path.join(root, "bench/peers/card_step.py")
    good = True
    for count in [int(layer) for layer in layers] or [4, 28]:
        for variant, checkpointing, scored in (
            ("sft", "none", "all"),
            ("sft", "selective", "all"),
            ("masked", "selective", "future"),
            ("query", "selective", "future"),
        ):
            left = end - time.monotonic()
            if left < 30:
                print(json.dumps({"name": "the rest", "failed": "no time was left"}), flush=True)
                return 1
            shape = [str(value) for value in (count, TOKENS, STEPS, "bfloat16", "cuda:0", SEQUENCES, checkpointing, scored)]
            name = f"{variant}, {count} layers, checkpointing {checkpointing}, {scored} scored"
            found = measured(name, [bench, "train-step", variant, *shape], min(left, 240), limit)
            # Without checkpointing the whole network may not fit.
            good = good and (found or checkpointing == "none")
        if importlib.util.find_spec("transformers") is None:
            continue
        for attention in ("sdpa", "flash_attention_2"):
            if attention == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
                continue
            name = f"transformers, sft, {count} layers, {attention}, checkpointed, all scored"
            shape = [str(value) for value in (count, SEQUENCES, TOKENS, STEPS, attention)]
            # A peer that fails is no failure of ours.
            measured(name, [sys.executable, peer, *shape], max(30, min(end - time.monotonic(), 240)), limit)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
