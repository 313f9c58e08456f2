"""The other side of tests/bench/sft.c: the same step in PyTorch. For every line that it reads it makes a step and
prints its seconds, its seconds of processor time, and its loss.

usage: sft.py FOLDER THREADS"""

import sys
import time

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()

N, TOKENS, VOCAB = 4, 512, 8192

torch.set_num_threads(int(sys.argv[2]))
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, attn_implementation="sdpa")
model.train()
model.config.use_cache = False
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, fused=True)
ids = torch.tensor([[(n * 131 + i * i * 7 + i) % VOCAB for i in range(TOKENS + 1)] for n in range(N)])


def step():
    optimizer.zero_grad(set_to_none=True)
    logits = model(ids[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, VOCAB), ids[:, 1:].reshape(-1))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


for _ in sys.stdin:
    start, cpu = time.monotonic(), time.process_time()
    loss = step()
    print(time.monotonic() - start, time.process_time() - cpu, loss, flush=True)
