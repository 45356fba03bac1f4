"""Requantizes a GGUF to Q4_0 with llama.cpp: quantize.py IN OUT"""
import ctypes
import sys

import llama_cpp

params = llama_cpp.llama_model_quantize_default_params()
params.ftype = 2  # LLAMA_FTYPE_MOSTLY_Q4_0
params.allow_requantize = True
params.nthread = 2
sys.exit(llama_cpp.llama_model_quantize(sys.argv[1].encode(), sys.argv[2].encode(), ctypes.byref(params)))
