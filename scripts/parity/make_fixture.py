#!/usr/bin/env python3
"""Writes what transformers' Qwen3ForCausalLM computes, for `npm run parity -- DIR` to compare with this package.

    python3 make_fixture.py OUT                                  one fixture, default configuration
    python3 make_fixture.py OUT --set hidden_size=64 --set num_attention_heads=8 --seed 3 --lengths 5,9
    python3 make_fixture.py OUT --config config.json             any Qwen3 configuration
    python3 make_fixture.py OUT --lora 4 --targets q_proj,v_proj LoRA adapters of peft over a frozen base
    python3 make_fixture.py OUT --standard                       the fixtures of test/fixtures/parity

Needs torch, transformers 4.51 or newer and, with --lora, peft. A fixture is a folder:

    config.json, model.safetensors   the model, as save_pretrained writes it, float32
    adapter/                         with --lora: as peft's save_pretrained writes them
    inputs.json                      {"sequences": [[token ids]], "steps": 3, optimiser's options}
    expected.safetensors             per dtype (float32, bfloat16): logits, hidden (after the final norm), loss,
                                     grad.<parameter>, step3.<parameter> (after three AdamW steps), losses of the steps;
                                     with --lora the parameters are the adapters', and merged.<weight> is what
                                     merge_and_unload makes
"""

import argparse
import copy
import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file
from transformers import Qwen3Config, Qwen3ForCausalLM

OPTIMIZER = {"learningRate": 1e-3, "beta1": 0.9, "beta2": 0.95, "epsilon": 1e-8, "weightDecay": 0.01, "gradientClip": 1.0}
STEPS = 3
DEFAULT = {
    "vocab_size": 61,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "rope_theta": 1_000_000.0,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    # Larger than HuggingFace's 0.02, so that attention and gates of a tiny model leave the linear range.
    "initializer_range": 0.2,
    "max_position_embeddings": 512,
}
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# overrides, lengths, seed, LoRA
STANDARD = {
    "gqa-tied": ({}, [2, 7, 13], 1, None),
    "one-kv-head-untied": (
        {"num_key_value_heads": 1, "tie_word_embeddings": False, "hidden_size": 20, "head_dim": 10, "vocab_size": 47},
        [17, 3],
        2,
        None,
    ),
    "wide-heads": ({"hidden_size": 16, "head_dim": 12, "num_key_value_heads": 4, "num_hidden_layers": 1}, [31], 3, None),
    "theta-eps": ({"rope_theta": 10_000.0, "rms_norm_eps": 1e-5, "num_hidden_layers": 3, "hidden_size": 12, "intermediate_size": 28}, [5, 9, 4], 4, None),
    "lora-seven-maps": ({"hidden_size": 20, "vocab_size": 47}, [3, 11, 6], 5, {"r": 4, "lora_alpha": 8.0, "target_modules": SEVEN}),
    "lora-two-maps": (
        {"tie_word_embeddings": False, "hidden_size": 16, "vocab_size": 37},
        [9, 4],
        6,
        {"r": 3, "lora_alpha": 2.5, "target_modules": ["v_proj", "down_proj"]},
    ),
}


def value(text):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def make_model(overrides, seed, lora=None):
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(Qwen3Config(**{**DEFAULT, **overrides})).float().eval()
    # Norms start as ones; drawn weights show a norm that is left out or applied twice.
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, 1.0, 0.3)
    return model if lora is None else with_adapters(model, lora)


def with_adapters(model, lora):
    from peft import LoraConfig, get_peft_model

    # Without dropout: its draws are another generator's here.
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **lora)).eval()
    for name, parameter in model.named_parameters():
        # B starts as zero; drawn values show what it does.
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, 0.0, 0.3)
    return model


def trained(model):
    """Parameters with a gradient, under the names that files give them: peft names the adapter `default` in memory."""
    return {name.replace(".default.", "."): p for name, p in model.named_parameters() if p.requires_grad}


def forward(model, sequences):
    """Each sequence on its own. The loss is the mean over all next tokens of all sequences."""
    logits, hidden, losses, scored = [], [], [], 0
    for sequence in sequences:
        ids = torch.tensor([sequence])
        output = model(ids, output_hidden_states=True)
        logits.append(output.logits[0])
        hidden.append(output.hidden_states[-1][0])
        losses.append(torch.nn.functional.cross_entropy(output.logits[0, :-1].float(), ids[0, 1:], reduction="sum"))
        scored += len(sequence) - 1
    return torch.cat(logits), torch.cat(hidden), sum(losses) / scored


def gradients(model):
    return {name: parameter.grad.float().clone() for name, parameter in trained(model).items()}


def decoder(model):
    """The Qwen3Model inside, peft's wrappers taken off."""
    return getattr(model, "base_model", model).model.model if hasattr(model, "peft_config") else model.model


def expected(master, sequences, dtype):
    """Forward, gradients and three steps in one dtype. Parameters and moments stay float32, as in mixed precision."""
    result = {}
    worker = copy.deepcopy(master).to(dtype).eval()
    # from_pretrained keeps RoPE's frequencies in float32 with every dtype; .to() does not.
    decoder(worker).rotary_emb = decoder(master).rotary_emb
    parameters = trained(master)
    decays = [p for p in parameters.values() if p.dim() >= 2]
    rest = [p for p in parameters.values() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decays, "weight_decay": OPTIMIZER["weightDecay"]}, {"params": rest, "weight_decay": 0.0}],
        lr=OPTIMIZER["learningRate"],
        betas=(OPTIMIZER["beta1"], OPTIMIZER["beta2"]),
        eps=OPTIMIZER["epsilon"],
    )
    step_losses = []
    for step in range(STEPS):
        worker.load_state_dict(master.state_dict())
        worker.zero_grad()
        logits, hidden, loss = forward(worker, sequences)
        loss.backward()
        step_losses.append(loss.detach().float())
        grads = gradients(worker)
        if step == 0:
            result.update({"logits": logits, "hidden": hidden, "loss": loss})
            result.update({f"grad.{name}": grad for name, grad in grads.items()})
        for name, parameter in parameters.items():
            parameter.grad = grads[name].clone()  # clipping works in place
        torch.nn.utils.clip_grad_norm_(parameters.values(), OPTIMIZER["gradientClip"])
        optimizer.step()
    result["losses"] = torch.stack(step_losses)
    result.update({f"step{STEPS}.{name}": parameter for name, parameter in parameters.items()})
    return {name: tensor.detach().float().contiguous().clone() for name, tensor in result.items()}


def write_fixture(out, overrides, lengths, seed, lora):
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    model = make_model(overrides, seed)
    model.save_pretrained(out)
    (out / "generation_config.json").unlink(missing_ok=True)
    if lora is not None:
        adapted = make_model(overrides, seed, lora)
        adapted.save_pretrained(out / "adapter")
        (out / "adapter" / "README.md").unlink(missing_ok=True)
    generator = torch.Generator().manual_seed(seed + 1000)
    vocabulary = model.config.vocab_size
    sequences = [torch.randint(vocabulary, (length,), generator=generator).tolist() for length in lengths]
    inputs = {
        "made_with": {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]},
        "seed": seed,
        "sequences": sequences,
        "steps": STEPS,
        "optimizer": OPTIMIZER,
    }
    (out / "inputs.json").write_text(json.dumps(inputs) + "\n")
    tensors = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        master = make_model(overrides, seed, lora)
        tensors.update({f"{name}.{key}": tensor for key, tensor in expected(master, sequences, dtype).items()})
    if lora is not None:
        merged = make_model(overrides, seed, lora).merge_and_unload()
        changed = [f"{target}.weight" for target in lora["target_modules"]]
        for name, parameter in merged.named_parameters():
            if any(name.endswith(ending) for ending in changed):
                tensors[f"float32.merged.{name}"] = parameter.detach().clone()
    save_file(tensors, out / "expected.safetensors")
    print(f"{out}: {sum(p.numel() for p in model.parameters())} parameters, sequences of {lengths}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--config", help="a config.json; its keys replace the defaults")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one key of the configuration")
    parser.add_argument("--lengths", default="2,7,13", help="tokens of each sequence, at least 2")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lora", type=int, metavar="RANK", help="adapters of this rank over a frozen base")
    parser.add_argument("--alpha", type=float, default=8.0)
    parser.add_argument("--targets", default=",".join(SEVEN), help="linear maps with an adapter")
    parser.add_argument("--standard", action="store_true", help="the fixtures that the tests use, one folder each")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if arguments.standard:
        for name, (overrides, lengths, seed, lora) in STANDARD.items():
            write_fixture(pathlib.Path(arguments.out) / name, overrides, lengths, seed, lora)
        return
    overrides = json.loads(pathlib.Path(arguments.config).read_text()) if arguments.config else {}
    for assignment in arguments.set:
        key, _, text = assignment.partition("=")
        overrides[key] = value(text)
    lora = None
    if arguments.lora is not None:
        lora = {"r": arguments.lora, "lora_alpha": arguments.alpha, "target_modules": arguments.targets.split(",")}
    write_fixture(arguments.out, overrides, [int(n) for n in arguments.lengths.split(",")], arguments.seed, lora)


if __name__ == "__main__":
    main()
