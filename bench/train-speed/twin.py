"""The PyTorch twin of run.mjs: the same model and documents, trained as a plain script does it. Padded batches, full
logits, fused AdamW, clipping; scaled_dot_product_attention without a mask (padding is on the right, so causal order
hides it). Speaks JSON lines on stdin and stdout: {"setup": {...}} once, then {"steps": n} as often as wanted."""

import json
import math
import random
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, hd = c["hiddenSize"], c["headDim"]
        self.heads, self.kv, self.hd, self.eps = c["headCount"], c["kvHeadCount"], hd, c["normEpsilon"]
        self.q = nn.Linear(d, self.heads * hd, bias=False)
        self.k = nn.Linear(d, self.kv * hd, bias=False)
        self.v = nn.Linear(d, self.kv * hd, bias=False)
        self.o = nn.Linear(self.heads * hd, d, bias=False)
        self.gate = nn.Linear(d, c["intermediateSize"], bias=False)
        self.up = nn.Linear(d, c["intermediateSize"], bias=False)
        self.down = nn.Linear(c["intermediateSize"], d, bias=False)
        self.norm1 = nn.Parameter(torch.ones(d))
        self.norm2 = nn.Parameter(torch.ones(d))

    def forward(self, x, cos, sin):
        b, s, d = x.shape
        y = F.rms_norm(x, (d,), self.norm1, self.eps)
        q = rotate(self.q(y).view(b, s, self.heads, self.hd).transpose(1, 2), cos, sin)
        k = rotate(self.k(y).view(b, s, self.kv, self.hd).transpose(1, 2), cos, sin)
        v = self.v(y).view(b, s, self.kv, self.hd).transpose(1, 2)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.kv != self.heads)
        x = x + self.o(a.transpose(1, 2).reshape(b, s, -1))
        y = F.rms_norm(x, (d,), self.norm2, self.eps)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.embed = nn.Embedding(c["vocabSize"], c["hiddenSize"])
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["layerCount"]))
        self.norm = nn.Parameter(torch.ones(c["hiddenSize"]))
        for name, p in self.named_parameters():
            if p.dim() > 1:
                residual = name.endswith(("o.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * c["layerCount"]) if residual else 0.02)
        half = c["headDim"] // 2
        frequency = c["ropeTheta"] ** (-torch.arange(half).double() / half)
        angle = torch.arange(c["contextLength"]).double()[:, None] * frequency
        self.register_buffer("cos", angle.cos().float())
        self.register_buffer("sin", angle.sin().float())

    def forward(self, ids):
        s = ids.shape[1]
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, self.cos[:s], self.sin[:s])
        x = F.rms_norm(x, (x.shape[-1],), self.norm, self.c["normEpsilon"])
        return F.linear(x, self.embed.weight)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def batches(documents, size):
    order = random.Random(1)
    while True:
        shuffled = documents[:]
        order.shuffle(shuffled)
        for start in range(0, len(shuffled) - size + 1, size):
            chosen = shuffled[start : start + size]
            longest = max(len(d["ids"]) for d in chosen)
            ids = torch.zeros(size, longest, dtype=torch.long)
            labels = torch.full((size, longest), -100)
            for row, d in enumerate(chosen):
                n = len(d["ids"])
                ids[row, :n] = torch.tensor(d["ids"])
                kept = torch.tensor(d["loss"], dtype=torch.bool)
                labels[row, :n][kept] = torch.tensor(d["ids"])[kept]
            yield ids[:, :-1], labels[:, 1:], sum(len(d["ids"]) - 1 for d in chosen)


def main():
    setup = json.loads(sys.stdin.readline())["setup"]
    torch.set_num_threads(setup["threads"])
    torch.manual_seed(1)
    model = Decoder(setup["config"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=setup["lr"], betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    with open(setup["documents"]) as file:
        source = batches(json.load(file), setup["batch"])
    print(json.dumps({"torch": torch.__version__, "parameters": sum(p.numel() for p in model.parameters())}), flush=True)
    for line in sys.stdin:
        tokens, loss, started = 0, None, time.perf_counter()
        for _ in range(json.loads(line)["steps"]):
            ids, labels, count = next(source)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=setup["bf16"]):
                logits = model(ids)
            loss = F.cross_entropy(logits.float().reshape(-1, logits.shape[-1]), labels.reshape(-1))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            tokens += count
        print(json.dumps({"tokens": tokens, "seconds": time.perf_counter() - started, "loss": loss.item()}), flush=True)


main()
