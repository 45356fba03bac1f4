"""Native decoding speed of llama.cpp on replies that are given: replies_llama.py GGUF REPLIES THREADS -> JSON"""
import collections
import json
import sys
import time

import llama_cpp

path, spoken, threads = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
longest = max(len(r["ids"]) + len(r["reply"]) for r in spoken)
model = llama_cpp.Llama(
    path, n_ctx=longest + 8, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False
)
tokens, seconds = collections.Counter(), collections.Counter()
for repeat, one in enumerate([spoken[0], *spoken]):
    model.reset()
    model.eval(one["ids"])
    start = time.perf_counter()
    for token in one["reply"][:-1]:
        model.eval([token])
    if repeat > 0:  # the first warms up
        seconds[one["kind"]] += time.perf_counter() - start
        tokens[one["kind"]] += len(one["reply"]) - 1
print(json.dumps({kind: tokens[kind] / seconds[kind] for kind in tokens}))
