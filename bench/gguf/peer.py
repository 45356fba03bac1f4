"""llama.cpp's quantizer with an importance matrix, and what is lost by any GGUF file, measured by llama.cpp.

peer.py importance CHECKPOINT TOKENS.json MATRIX.npz    mean square of each linear layer's inputs, as llama-imatrix sums it
peer.py quantize FULL.gguf MATRIX.npz TYPE OUT.gguf     TYPE: Q4_0, IQ4_NL, Q4_K_M ...; MATRIX `none` for none
peer.py judge TOKENS.json FULL.gguf FILE.gguf ...       KL to FULL, perplexity and top-1 agreement, rows of 512 tokens
"""

import ctypes
import json
import os
import sys

import numpy as np

ROW = 512
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def importance(checkpoint, tokens, out):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).model
    sums = {}

    def watch(name):
        def hook(_, args):
            x = args[0].reshape(-1, args[0].shape[-1]).double()
            sums[name] = sums.get(name, 0) + x.pow(2).sum(0)

        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            layer, role = name.removeprefix("layers.").split(".", 1)
            module.register_forward_pre_hook(watch(f"blk.{layer}.{NAMES[role]}.weight"))
    ids = json.load(open(tokens))["calibration"]
    with torch.no_grad():
        for start in range(0, len(ids), ROW):
            model(torch.tensor([ids[start : start + ROW]]))
    np.savez(out, **{name: (x / len(ids)).float().numpy() for name, x in sums.items()})


def quantize(full, matrix, kind, out):
    import llama_cpp.llama_cpp as llama

    params = llama.llama_model_quantize_default_params()
    params.ftype = getattr(llama, f"LLAMA_FTYPE_MOSTLY_{kind}")
    params.allow_requantize = True
    params.nthread = 1
    if matrix != "none":
        loaded = dict(np.load(matrix))
        # The list ends with an entry without a name.
        entries = (llama.llama_model_imatrix_data * (len(loaded) + 1))()
        for entry, (name, values) in zip(entries, loaded.items()):
            entry.name = name.encode()
            entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            entry.size = values.size
        params.imatrix = entries
    sys.exit(llama.llama_model_quantize(full.encode(), out.encode(), ctypes.byref(params)))


def log_probs(path, ids):
    """[tokens, vocab], each row of tokens on its own."""
    from llama_cpp import Llama

    model = Llama(path, n_ctx=ROW, n_batch=64, n_ubatch=64, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False)
    for start in range(0, len(ids), ROW):
        model.reset()
        model.eval(ids[start : start + ROW])
        x = np.array(model.scores[:ROW], dtype=np.float32)
        x -= x.max(1, keepdims=True)
        yield x - np.log(np.exp(x).sum(1, keepdims=True))


def judge(tokens, full, *files):
    ids = json.load(open(tokens))["judged"]
    ids = ids[: len(ids) // ROW * ROW]
    reference = list(log_probs(full, ids))

    targets = [ids[start + 1 : start + ROW] for start in range(0, len(ids), ROW)]
    losses = [-row[np.arange(ROW - 1), ahead] for row, ahead in zip(reference, targets)]
    print(f"{len(ids)} tokens, perplexity in full {np.exp(np.mean(losses)):.3f}", flush=True)
    for path in files:
        kl, same, losses = [], [], []
        for p, q, ahead in zip(reference, log_probs(path, ids), targets):
            kl.append((np.exp(p) * (p - q)).sum(1))
            same.append(p.argmax(1) == q.argmax(1))
            losses.append(-q[np.arange(ROW - 1), ahead])
        error = np.std(kl) / np.sqrt(len(ids))
        print(
            f"{os.path.basename(path)}: {os.path.getsize(path)} bytes, KL {np.mean(kl):.4f} (standard error {error:.4f}), "
            f"top-1 {np.mean(same):.1%}, perplexity {np.exp(np.mean(losses)):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    {"importance": importance, "quantize": quantize, "judge": judge}[sys.argv[1]](*sys.argv[2:])
