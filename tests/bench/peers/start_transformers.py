"""From a folder of weights to the first token; prints the clock (time.monotonic) of that moment.

usage: start_transformers.py FOLDER
"""
import sys
import time

import torch
import transformers

device = "cuda" if torch.cuda.is_available() else "cpu"
model = transformers.AutoModelForImageTextToText.from_pretrained(sys.argv[1], dtype=torch.bfloat16).to(device)
with torch.no_grad():
    out = model.generate(input_ids=torch.arange(1, 20, device=device)[None], max_new_tokens=1, do_sample=False)
print(out[0, -1].item())
print(time.monotonic(), flush=True)
