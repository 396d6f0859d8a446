#!/usr/bin/env python3
"""Takes training steps of the straightforward PyTorch implementation and prints what it found as JSON.

    python train_step.py FOLDER BATCH sft|masked|embed eager|autocast|bfloat16|compiled STEPS THREADS
    python train_step.py --check                  says which versions there are

FOLDER holds config.json, model.safetensors and predictor.safetensors as our export writes them, BATCH is the JSON of
bench/train-step/fixed-batch.ts. `sft` is transformers' own loss over every token but the first of each sequence; `masked`
adds the latent loss by three passes: clean, masked, and the EMA target encoder's without a gradient. Then gradients are
clipped, AdamW (fused) takes its step and the target encoder follows. `embed` is the decoder's last state of each sequence,
without gradients. Modes: float32; autocast to bfloat16 over float32
weights; everything in bfloat16; torch.compile of the decoder over autocast or, where a machine does not multiply bfloat16
natively, over float32.
"""

import contextlib
import copy
import json
import pathlib
import resource
import sys
import time

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

LEARNING_RATE, BETAS, EPSILON, WEIGHT_DECAY, CLIP, MOMENTUM = 1e-4, (0.9, 0.95), 1e-8, 0.01, 1.0, 0.996


class Predictor(torch.nn.Module):
    def __init__(self, weights):
        super().__init__()
        width, hidden = weights["predictor.fc1.weight"].shape
        self.fc1, self.fc2 = torch.nn.Linear(hidden, width), torch.nn.Linear(width, hidden)
        self.load_state_dict({name.removeprefix("predictor."): tensor for name, tensor in weights.items()})

    def forward(self, hidden):
        return self.fc2(F.gelu(self.fc1(hidden)))


class Step:
    def __init__(self, folder, batch, variant, mode):
        dtype = torch.bfloat16 if mode == "bfloat16" else torch.float32
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").train()
        self.predictor = Predictor(load_file(pathlib.Path(folder) / "predictor.safetensors")).to(dtype)
        self.target = copy.deepcopy(self.model.model).requires_grad_(False)
        self.latent = variant == "masked"
        self.autocast = mode == "autocast" or (mode == "compiled" and native_bfloat16())
        parameters = list(self.model.named_parameters())
        if self.latent:
            parameters += self.predictor.named_parameters()
        self.parameters = [parameter for _, parameter in parameters]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for _, p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
                {"params": [p for _, p in parameters if p.ndim == 1], "weight_decay": 0.0},
            ],
            lr=LEARNING_RATE,
            betas=BETAS,
            eps=EPSILON,
            fused=True,
        )
        self.encoder = self.model.model
        self.encoder_weights, self.target_weights = list(self.encoder.parameters()), list(self.target.parameters())
        if mode == "compiled":
            self.model.model = torch.compile(self.model.model)
            self.encoder, self.target = self.model.model, torch.compile(self.target)

        self.tokens = torch.tensor(batch["sequences"])
        self.places = torch.tensor(batch["masked"])
        self.masked_tokens = self.tokens.clone()
        self.masked_tokens[:, self.places] = batch["maskToken"]
        # The cut itself is masked when it is even: the first masked place sees the context alone.
        assert int(self.places.min()) >= batch["cut"]

    def losses(self):
        if not self.latent:
            return self.model(input_ids=self.tokens, labels=self.tokens, use_cache=False).loss
        output = self.model(input_ids=self.tokens, labels=self.tokens, use_cache=False)
        masked = self.encoder(input_ids=self.masked_tokens, use_cache=False).last_hidden_state
        with torch.no_grad():
            target = self.target(input_ids=self.tokens, use_cache=False).last_hidden_state[:, self.places]
            target = F.layer_norm(target.float(), target.shape[-1:], eps=1e-5)
        predicted = self.predictor(masked[:, self.places])
        return output.loss + F.mse_loss(predicted.float(), target)

    @torch.no_grad()
    def embed(self):
        with self.precision():
            return self.encoder(input_ids=self.tokens, use_cache=False).last_hidden_state[:, -1].float()

    def precision(self):
        return torch.autocast("cpu", torch.bfloat16) if self.autocast else contextlib.nullcontext()

    def __call__(self):
        with self.precision():
            loss = self.losses()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP, foreach=True)
        self.optimizer.step()
        if self.latent:
            with torch.no_grad():
                torch._foreach_lerp_(self.target_weights, self.encoder_weights, 1 - MOMENTUM)
        return loss.item()


def native_bfloat16():
    return torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_bf16_supported()


def check():
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps({**versions, "nativeBfloat16": bool(native_bfloat16())}))


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    folder, batch, variant, mode, steps, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    step = Step(folder, json.loads(pathlib.Path(batch).read_text()), variant, mode)
    found, seconds = [], []
    for i in range(int(steps) + 2):
        started = time.perf_counter()
        found.append(step.embed()[0, :8].tolist() if variant == "embed" else [step()])
        if i >= 2:
            seconds.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    checked = found[0] if variant == "embed" else [loss for losses in found[:3] for loss in losses]
    print(json.dumps({"checked": checked, "seconds": seconds, "peakMiB": peak}))


if __name__ == "__main__":
    main()
