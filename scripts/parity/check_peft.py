#!/usr/bin/env python3
"""Opens an exported LoRA adapter with peft and compares it with the merged export and with our own scores.

    npx ehr-jepa export RUN adapter --adapters peft
    npx ehr-jepa export RUN merged
    npx ehr-jepa score RUN scores.arrow --tokens ids.jsonl --hidden
    python3 scripts/parity/check_peft.py adapter merged --scores scores.arrow

Needs torch, transformers 4.51 or newer, peft and, with --scores, pyarrow. Exits with 1 when a figure exceeds its limit:
the adapter's logits against those of the merged export, every merged weight against merge_and_unload, and, of a float32
run, our hidden states and log-probabilities against peft's; |ours - theirs| / |theirs|, Euclidean, 1e-5 each.
"""

import argparse
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

LIMIT = 1e-5


def relative(found, expected):
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def read_scores(path):
    """Sequences of token ids with their log-probabilities and hidden states, from `ehr-jepa score --hidden`."""
    import pyarrow as pa

    with pa.memory_map(path) as source:
        rows = pa.ipc.open_file(source).read_all().to_pylist()
    sequences = {}
    for row in rows:
        sequences.setdefault(row["sequence"], []).append(row)
    return [sorted(rows, key=lambda row: row["position"]) for rows in sequences.values()]


def score_errors(model, sequences):
    hidden, log_probabilities = ([], []), ([], [])
    for rows in sequences:
        ids = torch.tensor([[row["token"] for row in rows]])
        output = model(ids, output_hidden_states=True)
        hidden[0].append(torch.tensor([row["hidden"] for row in rows]))
        hidden[1].append(output.hidden_states[-1][0])
        log_probabilities[0].append(torch.tensor([row["log_probability"] for row in rows[1:]]))
        log_probabilities[1].append(output.logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0])
    return {
        "our hidden states": relative(torch.cat(hidden[0]), torch.cat(hidden[1])),
        "our log-probabilities": relative(torch.cat(log_probabilities[0]), torch.cat(log_probabilities[1])),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("adapter")
    parser.add_argument("merged")
    parser.add_argument("--base", help="base model; default: what adapter_config.json names")
    parser.add_argument("--scores", help="Arrow file of `ehr-jepa score RUN --tokens FILE --hidden`, of a float32 run")
    parser.add_argument("--tokens", type=int, default=64, help="random tokens whose logits are compared")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.manual_seed(0)

    merged = AutoModelForCausalLM.from_pretrained(arguments.merged, dtype=torch.float32).eval()
    base_name = arguments.base
    if base_name is None:
        from peft import PeftConfig

        base_name = PeftConfig.from_pretrained(arguments.adapter).base_model_name_or_path
    base = AutoModelForCausalLM.from_pretrained(base_name, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, arguments.adapter).eval()
    moved = sum(p.numel() for name, p in adapted.named_parameters() if "lora_B" in name and p.abs().max() > 0)
    if moved == 0:
        sys.exit("every lora_B is zero: the adapter was not loaded, or never trained")

    errors = {}
    ids = torch.randint(merged.config.vocab_size, (1, arguments.tokens))
    errors["logits, merged export"] = relative(merged(ids).logits, adapted(ids).logits)
    if arguments.scores is not None:
        errors.update(score_errors(adapted, read_scores(arguments.scores)))
    theirs = dict(adapted.merge_and_unload().named_parameters())
    ours = dict(merged.named_parameters())
    if theirs.keys() != ours.keys():
        sys.exit(f"the merged export must hold the same weights but differs in {sorted(theirs.keys() ^ ours.keys())}")
    errors["merged weights, worst of " + str(len(ours))] = max(relative(ours[name], theirs[name]) for name in ours)
    equal = sum(torch.equal(ours[name], theirs[name]) for name in ours)

    for name, error in errors.items():
        print(f"{'ok    ' if error <= LIMIT else 'FAILED'} {name}: {error:.2e} of {LIMIT:.0e}")
    print(f"{equal} of {len(ours)} merged weights are equal bit for bit")
    if max(errors.values()) > LIMIT:
        sys.exit(1)


if __name__ == "__main__":
    main()
