"""Logits and gradients of fovea on a GPU beside transformers', both against transformers in fp32.

A model with random weights is written by `fovea init`; one sequence with an image goes through `fovea probe` on each
back end and through transformers in bf16 and in fp32. Printed is, of each, the difference from fp32, as a share of the
norm of what fp32 gives: of the logits and of the gradient of all parameters. How far the two back ends are apart is
printed beside how far the CPU is from itself when two products of each layer are summed in another order.

usage: python3 accuracy.py FOVEA SHAPE FOLDER [--layers N] [--vision N] [--tokens N] [--backend NAME...] [--wide]

--layers and --vision cut the model to its first layers. It needs PyTorch, transformers 5 and h5py.
"""
import argparse
import json
import os
import re
import subprocess
import sys

import h5py
import numpy as np
import torch
import transformers

device = "cuda" if torch.cuda.is_available() else "cpu"


def cut_shape(path, out, layers, vision):
    text = open(path).read()
    if layers:
        text = re.sub(r"n_layers: \d+", f"n_layers: {layers}", text)
    if vision:
        text = re.sub(r"depth: \d+", f"depth: {vision}", text)
        text = re.sub(r"full_attention: \[.*\]", f"full_attention: [{vision - 1}]", text)
    open(out, "w").write(text)


def make_case(path, n, config):
    rng = np.random.default_rng(1)
    grid = (1, 16, 16)
    image = grid[1] * grid[2] // 4
    ids = np.concatenate([rng.integers(0, 200, 5), [config["vision_start_token_id"]], [config["image_token_id"]] * image,
                          [config["vision_end_token_id"]], rng.integers(0, 200, n - image - 7)]).astype(np.int32)
    pixels = rng.standard_normal((grid[1] * grid[2], 1176)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["input_ids"] = ids
        file["image_grid_thw"] = np.array([grid], np.int32)
        file["pixel_values"] = pixels
    return ids, grid, pixels


def reference(folder, case, dtype):
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
        folder, dtype=dtype, attn_implementation="sdpa").to(device)
    ids, grid, pixels = case
    ids = torch.tensor(ids[None].astype(np.int64), device=device)
    is_image = (ids == model.config.image_token_id).to(torch.int32)
    out = model(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=is_image,
                pixel_values=torch.tensor(pixels, device=device, dtype=dtype),
                image_grid_thw=torch.tensor([grid], device=device))
    logits = out.logits[0].float()
    loss = torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:])
    loss.backward()
    grads = {name: p.grad.float() for name, p in model.named_parameters() if p.grad is not None}
    return logits.detach(), grads, loss.item()


def plain(name):
    """A parameter's name in the form of transformers 5, which named_parameters has."""
    name = re.sub(r"^visual\.", "model.visual.", name)
    return re.sub(r"^model\.(?!visual|language_model)", "model.language_model.", name)


def probe(fovea, folder, case, backend, precision, chunks=4):
    out = f"{folder}/{backend}-{precision}-{chunks}.h5"
    subprocess.run([fovea, "probe", "--model", f"{folder}/model", "--case", case, "--out", out, "--grad", "--greedy", "0",
                    "--backend", backend, "--precision", precision, "--chunks", str(chunks)], check=True)
    file = h5py.File(out)
    names = {plain(name): name for name in file["grad"]}
    return there(file["logits"]), Gradients(file["grad"], names), float(file["loss"][()])


def there(numbers):
    return torch.from_numpy(np.array(numbers)).to(device)


class Gradients:
    """Those of a file, each read when it is asked for."""

    def __init__(self, group, names):
        self.group, self.names = group, names

    def __getitem__(self, name):
        return there(self.group[self.names[name]])


def free():
    if device == "cuda":
        torch.cuda.empty_cache()


def squares(x):
    return sum(float((part.double() ** 2).sum()) for part in x.flatten().split(1 << 26))


def share(found, expected):
    return (squares(found - expected) / squares(expected)) ** 0.5


def tell(title, found, expected):
    logits, grads, loss = found
    error = norm = 0.0
    worst, of = 0.0, ""
    for name, wanted in expected[1].items():
        e, n = squares(grads[name] - wanted), squares(wanted)
        error, norm = error + e, norm + n
        if e > worst ** 2 * n:
            worst, of = (e / n) ** 0.5, name
    most = float((logits - expected[0]).abs().max())
    print(f"{title:24} logits {share(logits, expected[0]):.3e} (most {most:.3e}), gradient {(error / norm) ** 0.5:.3e} "
          f"(worst {worst:.3e}, {of}), loss {loss - expected[2]:+.2e}", flush=True)
    return share(logits, expected[0]), (error / norm) ** 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fovea")
    parser.add_argument("shape")
    parser.add_argument("folder")
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--vision", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--backend", nargs="*", default=["cuda", "cpu"])
    parser.add_argument("--wide", action="store_true", help="also the CPU in fp32")
    o = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False
    os.makedirs(o.folder, exist_ok=True)
    cut_shape(o.shape, f"{o.folder}/shape.yaml", o.layers, o.vision)
    subprocess.run([o.fovea, "init", "--shape", f"{o.folder}/shape.yaml", "--out", f"{o.folder}/model", "--noise"],
                   check=True)
    config = json.load(open(f"{o.folder}/model/config.json"))
    case = make_case(f"{o.folder}/case.h5", o.tokens, config)
    expected = reference(f"{o.folder}/model", case, torch.float32)
    free()
    print(f"{o.shape}: {o.layers or 'all'} layers, {o.vision or 'all'} of the vision tower, {o.tokens} tokens; "
          f"loss {expected[2]:.4f}")
    theirs = tell("transformers bf16", reference(f"{o.folder}/model", case, torch.bfloat16), expected)
    free()
    is_within, logits = True, {}
    for backend in o.backend:
        found = probe(o.fovea, o.folder, f"{o.folder}/case.h5", backend, "bf16")
        ours = tell(f"fovea {backend} bf16", found, expected)
        is_within &= ours[0] <= theirs[0] and ours[1] <= theirs[1]
        logits[backend] = found[0]
    if len(logits) == 2:
        other = probe(o.fovea, o.folder, f"{o.folder}/case.h5", "cpu", "bf16", chunks=1)[0]
        print(f"fovea's two back ends from each other: logits {share(*logits.values()):.3e}; "
              f"the CPU from itself, sums in another order: {share(other, logits['cpu']):.3e}")
    if o.wide:
        tell("fovea cpu fp32", probe(o.fovea, o.folder, f"{o.folder}/case.h5", "cpu", "fp32"), expected)
    print("within transformers' own error" if is_within else "NOT within transformers' own error")
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
