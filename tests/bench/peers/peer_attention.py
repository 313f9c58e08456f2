"""Attention of PyTorch beside ours: causal, grouped queries, by cuDNN and by FlashAttention 2 as PyTorch has it.

usage: peer_attention.py SHAPE OUT.json [ROW...]
"""
import sys

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

import figures
import rows

device = figures.device
BACKENDS = {"cuDNN": SDPBackend.CUDNN_ATTENTION, "FlashAttention 2": SDPBackend.FLASH_ATTENTION}


def operations(text, size, n):
    head = text["hidden_size"] // text["num_attention_heads"]
    return 4 * n * text["num_attention_heads"] * head * size["length"] * (size["length"] + 1) / 2


def rate(shape, backend, is_backward):
    text, size = rows.TEXTS[shape], rows.sizes(shape)
    n, head = size["batch"], text["hidden_size"] // text["num_attention_heads"]
    q, k, v = (torch.randn(n, heads, size["length"], head, device=device, dtype=torch.bfloat16, requires_grad=is_backward)
               for heads in (text["num_attention_heads"], ) + 2 * (text["num_key_value_heads"], ))
    calls = 8
    with sdpa_kernel(backend):
        out = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        given = torch.randn_like(out)

        def run():
            for _ in range(calls):
                if is_backward:
                    torch.autograd.grad(out, (q, k, v), given, retain_graph=True)
                else:
                    scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

        seconds = figures.seconds_of(run) / calls
    return (2.5 if is_backward else 1) * operations(text, size, n) / seconds * 1e-12


def best(shape, is_backward):
    found, failure = {}, None
    for name, backend in BACKENDS.items():
        try:
            found[name] = rate(shape, backend, is_backward)
        except RuntimeError as error:
            failure = error
    if not found:
        raise failure
    return max(found.values()), ", ".join(f"{name} {value:.0f}" for name, value in found.items())


def main():
    shape, out, asked = sys.argv[1], sys.argv[2], sys.argv[3:] or [row.key for row in rows.ROWS]
    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else "none"
    figure = figures.Figures(out, f"PyTorch {torch.__version__}, cuDNN {cudnn}", shape)
    for key in [key for key in ("attention", "attention-grad") if key in asked]:
        figure.add(key, lambda: best(shape, key == "attention-grad"))


if __name__ == "__main__":
    main()
