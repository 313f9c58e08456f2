"""vLLM on the work of the table, with weights of its own making (load_format dummy).

usage: peer_vllm.py SHAPE OUT.json FOLDER [ROW...]

FOLDER: a model's, for its configuration. Prompts with an image need a processor there.
"""
import os
import random
import sys
import time

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")

import PIL.Image
import vllm

import figures
import rows
import shapes


def parameters(n, samples=1):
    return vllm.SamplingParams(n=samples, temperature=1.0, max_tokens=n, ignore_eos=True, detokenize=False)


def text(n):
    return {"prompt_token_ids": [random.randrange(4000) for _ in range(n)]}


def with_image(config, size):
    edge = size["image"]
    image = PIL.Image.frombytes("RGB", (edge, edge), random.randbytes(3 * edge * edge))
    ids = [random.randrange(4000) for _ in range(size["prompt"] - (edge // 28)**2 - 2)]
    marks = [config.vision_start_token_id, config.image_token_id, config.vision_end_token_id]  # it repeats the one
    return {"prompt_token_ids": marks + ids, "multi_modal_data": {"image": image}}


def seconds_of(llm, prompts, n, samples=1):
    llm.generate(prompts(), parameters(n, samples), use_tqdm=False)
    given = prompts()  # new ones, which no cache has
    start = time.monotonic()
    llm.generate(given, parameters(n, samples), use_tqdm=False)
    return time.monotonic() - start


def decode(llm, batch, size):
    """What the tokens behind the first take."""
    prompts = lambda: [text(size["prompt"]) for _ in range(batch)]
    first, all_ = (seconds_of(llm, prompts, n) for n in (1, 1 + size["new"]))
    return batch * size["new"] / (all_ - first), ""


def rollout(llm, config, n, size):
    prompts = lambda: [with_image(config, size) for _ in range(n)]
    return n * size["samples"] * size["new"] / seconds_of(llm, prompts, size["new"], size["samples"]), ""


def main():
    shape, out, folder = sys.argv[1:4]
    asked = sys.argv[4:] or [row.key for row in rows.ROWS]
    size, config = rows.sizes(shape), shapes.config_of(shape)
    figure = figures.Figures(out, f"vLLM {vllm.__version__}", shape)
    llm = vllm.LLM(model=folder, load_format="dummy", skip_tokenizer_init=True, dtype="bfloat16",
                   max_model_len=size["prompt"] + size["new"] + 1, limit_mm_per_prompt={"image": 1})
    works = {
        "decode-1": lambda: decode(llm, 1, size),
        "decode-64": lambda: decode(llm, 64, size),
        "rollout": lambda: rollout(llm, config, 64 if shape == "3b" else 32, size),
    }
    for key, work in works.items():
        if key in asked:
            figure.add(key, work)


if __name__ == "__main__":
    main()
