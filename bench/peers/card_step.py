#!/usr/bin/env python3
"""Times SFT steps of transformers' Qwen3 on a card, with random weights of the shape that `ehrjepa_bench train-step` has.

    python card_step.py LAYERS SEQUENCES TOKENS STEPS sdpa|flash_attention_2|eager [DEVICE]

float32 weights under autocast to bfloat16, gradient checkpointing of whole blocks, clipping, fused AdamW, no padding; the
loss is transformers' own, over every token but the first of a sequence. Prints one line of JSON.
"""

import json
import sys
import time

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM


def main(layers, sequences, tokens, steps, attention, device="cuda:0", hidden=2048):
    layers, sequences, tokens, steps, hidden = int(layers), int(sequences), int(tokens), int(steps), int(hidden)
    card = device.startswith("cuda")
    torch.manual_seed(1)
    config = Qwen3Config(
        vocab_size=151_936 * layers // 28 if card else 997,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 128,
        num_key_value_heads=hidden // 256,
        head_dim=128,
        tie_word_embeddings=True,
        attn_implementation=attention,
        use_cache=False,
    )
    with torch.device(device):
        model = Qwen3ForCausalLM(config).float().train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    places = torch.arange(tokens, device=device) + 31 * torch.arange(sequences, device=device).unsqueeze(1)
    batch = (places * 7919) % (config.vocab_size - 1)
    seconds, loss = [], 0.0
    for step in range(steps + 2):
        started = time.perf_counter()
        with torch.autocast(device.split(":")[0], torch.bfloat16):
            output = model(input_ids=batch, labels=batch)
        optimizer.zero_grad(set_to_none=True)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()
        loss = output.loss.item()
        if card:
            torch.cuda.synchronize()
        if step >= 2:
            seconds.append(time.perf_counter() - started)
    peak = torch.cuda.max_memory_allocated() if card else 0
    print(json.dumps({"loss": loss, "seconds": seconds, "tokens": sequences * tokens, "peakBytes": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])
