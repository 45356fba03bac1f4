"""One GGUF with llama.cpp (llama-cpp-python) in a process of its own: llama.py FILE PROMPT NEW REPEATS THREADS -> JSON"""
import json
import resource
import sys
import time

import llama_cpp

path = sys.argv[1]
prompt, fresh, repeats, threads = map(int, sys.argv[2:])
model = llama_cpp.Llama(
    path, n_ctx=prompt + fresh + 8, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False
)
vocab = model.n_vocab()
runs = []
for repeat in range(repeats + 1):
    model.reset()
    ids = [3 + (i * 7 + repeat * 1013) % (vocab - 3) for i in range(prompt)]
    start = time.perf_counter()
    model.eval(ids)
    first = time.perf_counter()
    for i in range(fresh - 1):
        model.eval([1000 + i])
    end = time.perf_counter()
    if repeat > 0:  # the first warms up
        runs.append(
            {
                "ttftMs": 1000 * (first - start),
                "prefill": prompt / (first - start),
                "decode": (fresh - 1) / (end - first),
            }
        )
print(json.dumps({"runs": runs, "peakRssBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
