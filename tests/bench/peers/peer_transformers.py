"""Transformers on the work of the table, with random weights that are made in memory.

usage: peer_transformers.py SHAPE OUT.json FOLDER [ROW...]

FOLDER: a model's, for the row start, if it is there. Decoding has a static cache, and on a GPU its step is one CUDA
graph: that is transformers' model as fast as it goes without a compiler.
"""
import inspect
import os
import subprocess
import sys
import time

import torch
import transformers

import figures
import rows
import shapes

device = figures.device


def random_ids(*size):
    return torch.randint(0, 4000, size, device=device)


class Decoder:
    """One token of each sample at a time, drawn at temperature 1."""

    def __init__(self, model, batch, size):
        self.text, self.head = model.model.language_model, model.lm_head
        self.length = size["prompt"] + size["new"]
        self.cache = transformers.StaticCache(config=model.config, max_cache_len=self.length)
        names = inspect.signature(self.text.forward).parameters
        self.cache_name = "past_key_values" if "past_key_values" in names else "cache"
        self.prompt = random_ids(batch, size["prompt"])
        self.ids = torch.zeros(batch, 1, dtype=torch.long, device=device)
        self.at = torch.zeros(1, dtype=torch.long, device=device)
        self.columns = torch.arange(self.length, device=device)

    def call(self, ids, positions):
        n = ids.shape[0], ids.shape[1]
        mask = (self.columns <= positions[:, None]).expand(n[0], 1, n[1], self.length)
        out = self.text(input_ids=ids, position_ids=positions.expand(3, *n), attention_mask={"full_attention": mask},
                        use_cache=True, **{self.cache_name: self.cache})
        chances = torch.softmax(self.head(out.last_hidden_state[:, -1]).float(), dim=-1)
        self.ids.copy_((chances / torch.empty_like(chances).exponential_()).argmax(-1, keepdim=True))

    def begin(self):
        self.cache.reset()
        self.call(self.prompt, self.columns[:self.prompt.shape[1]])
        self.at.fill_(self.prompt.shape[1])

    def step(self):
        self.call(self.ids, self.at)
        self.at.add_(1)

    def record(self):
        self.begin()
        for _ in range(3):
            self.step()
        figures.wait()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        self.step = graph.replay


def decode(model, batch, size):
    note = "static cache, sdpa"
    with torch.no_grad():
        decoder = Decoder(model, batch, size)
        if device == "cuda":
            decoder.record()
            note += ", a CUDA graph"
        seconds = figures.seconds_of(lambda: [decoder.step() for _ in range(size["new"])], 2, decoder.begin)
    return batch * size["new"] / seconds, note


def prefill(model, size):
    text = model.model.language_model
    ids = random_ids(size["batch"], size["length"])

    def run():
        for part in ids.split(max(size["batch"] // 2, 1)):
            model.lm_head(text(input_ids=part, use_cache=True).last_hidden_state[:, -1])

    with torch.no_grad():
        return ids.numel() / figures.seconds_of(run), "sdpa"


def patches_of(n, pixels):
    edge = pixels // 14
    grid = torch.tensor([[1, edge, edge]] * n, device=device)
    return torch.randn(n * edge * edge, 1176, device=device, dtype=torch.bfloat16), grid


def vision(model, size):
    pixels, grid = patches_of(size["images"], 2 * size["image"])
    with torch.no_grad():
        seconds = figures.seconds_of(lambda: model.model.visual(pixels, grid_thw=grid))
    return size["images"] / seconds, "sdpa, a call a window; patches are there"


def batch_of(config, size):
    """Two sequences, each an image in a short prompt and text that is learnt."""
    n, length = size["micro"], size["length"]
    pixels, grid = patches_of(n, size["image"])
    image = pixels.shape[0] // n // 4
    ids = random_ids(n, length)
    ids[:, 31], ids[:, 32:32 + image], ids[:, 32 + image] = (config.vision_start_token_id, config.image_token_id,
                                                             config.vision_end_token_id)
    labels = ids.clone()
    labels[:, :33 + image] = -100
    return dict(input_ids=ids, labels=labels, pixel_values=pixels, image_grid_thw=grid,
                attention_mask=torch.ones_like(ids), mm_token_type_ids=(ids == config.image_token_id).to(torch.int32))


def train(model, size):
    model.train()
    model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, betas=(0.9, 0.95), weight_decay=0, fused=True)
    batch, n = batch_of(model.config, size), size["sequences"] // size["micro"]

    def step():
        for _ in range(n):
            model(**batch, use_cache=False).loss.div(n).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    seconds = figures.seconds_of(step, 1)
    note = f"{size['micro']} sequences a micro-batch, gradient checkpointing, fused AdamW; weights, gradients and moments in bf16"
    return size["sequences"] * size["length"] / seconds, note


def start(folder):
    if not os.path.isdir(folder):
        raise RuntimeError("there is no folder of weights")
    command = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "start_transformers.py"), folder]
    for _ in range(2):  # the first fills the page cache
        began = time.monotonic()
        child = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = float(child.stdout.split()[-1]) - began
    return seconds, "from_pretrained, to the GPU, one token; libraries in the page cache"


def main():
    shape, path, folder = sys.argv[1:4]
    size, asked = rows.sizes(shape), sys.argv[4:] or [row.key for row in rows.ROWS]
    program = f"transformers {transformers.__version__}, PyTorch {torch.__version__}"
    out = figures.Figures(path, program, shape)
    model = shapes.model_of(shape, device)
    works = {
        "decode-1": lambda: decode(model, 1, size),
        "decode-64": lambda: decode(model, 64, size),
        "prefill": lambda: prefill(model, size),
        "vision": lambda: vision(model, size),
        "train": lambda: train(model, size),
    }
    for key, work in works.items():
        if key in asked:
            out.add(key, work)
    del model, works
    if "start" in asked:
        out.add("start", lambda: start(folder))


if __name__ == "__main__":
    main()
