"""What is compared: of each row the figure of fovea bench, and the work that peers are asked for.

usage: rows.py SHAPE        prints fovea's commands for 3b, 7b or tiny, one a line: NAME OPTION...
"""
import dataclasses
import sys

# fovea bench, by shape. tiny is for a trial on any machine.
COMMANDS = {
    "7b": {
        "passes": "decode prefill vision rollout --batch 1,64 --profile",
        "train": "train --sequences 16 --split --bf16-moments --profile",
        "step": "step --prompts 8 --split --bf16-moments",
        "bits": "decode prefill rollout --batch 1,64 --new 64 --without-same-bits",
    },
    "3b": {
        "passes": "decode prefill vision rollout --batch 1,64 --prompts 64 --profile",
        "train": "train --sequences 16 --micro-tokens 8192 --profile",
        "step": "step --prompts 16",
        "bits": "train --without-same-bits",
        "update": "update --prompts 4 --prompt 1024",
    },
    "tiny": {
        "passes": "decode prefill vision rollout --batch 1,64 --profile",
        "train": "train --profile",
        "step": "step",
        "bits": "decode prefill --batch 1,64 --without-same-bits",
        "update": "update --prompts 2 --prompt 256",
    },
}
TEXTS = {  # the decoders
    "3b": dict(hidden_size=2048, num_hidden_layers=36, num_attention_heads=16, num_key_value_heads=2,
               intermediate_size=11008, vocab_size=151936),
    "7b": dict(hidden_size=3584, num_hidden_layers=28, num_attention_heads=28, num_key_value_heads=4,
               intermediate_size=18944, vocab_size=152064),
    "tiny": dict(hidden_size=256, num_hidden_layers=4, num_attention_heads=2, num_key_value_heads=1,
                 intermediate_size=704, vocab_size=4096),
}

SIZES = {  # of a work: tokens, images and pixels, as fovea bench takes them by default
    "real": dict(prompt=320, new=256, length=2048, image=448, sequences=16, batch=8, images=8, micro=2, samples=8),
    "tiny": dict(prompt=80, new=32, length=256, image=112, sequences=4, batch=4, images=4, micro=2, samples=4),
}


def sizes(shape):
    return SIZES.get(shape, SIZES["real"])


@dataclasses.dataclass(frozen=True)
class Row:
    key: str
    title: str
    unit: str
    command: str  # a name of COMMANDS
    figure: str  # its name in fovea's JSON,
    what: str = ""  # what its text has in it
    goals: tuple = ()  # the first goals: (shape, number) ...


ROWS = [
    Row("decode-1", "decode, 1 sample", "tokens/s", "passes", "decode", "1 samples", (("7b", 215), ("3b", 400))),
    Row("decode-64", "decode, 64 samples", "tokens/s", "passes", "decode", "64 samples", (("7b", 11500), ("3b", 15000))),
    Row("rollout", "rollout with prompts and images", "tokens/s", "passes", "rollout", "samples",
        (("7b", 19000), ("3b", 30000))),
    Row("rollout-decode", "its passes that only decode", "tokens/s", "passes", "rollout", "only decode",
        (("7b", 23000), ("3b", 36000))),
    Row("prefill", "prefill, packed prompts of 2048", "tokens/s", "passes", "prefill", "", (("7b", 450), ("3b", 450))),
    Row("vision", "vision tower, 896 x 896", "images/s", "passes", "vision", "", (("7b", 40), ("3b", 40))),
    Row("attention", "attention of a prefill of 2048, forward", "TFLOP/s", "passes", "prefill", "", ()),
    Row("attention-grad", "attention of a supervised step of 2048, backward", "TFLOP/s", "train", "train", "", ()),
    Row("train", "supervised step, 2048 tokens with an image", "tokens/s", "train", "train", "",
        (("7b", 11000), ("3b", 22000))),
    Row("tree", "update of trees of 8 samples against each behind its prompt", "times", "update", "update", "",
        (("3b", 2.3), )),
    Row("step", "step of GRPO, prompts and samples counted", "tokens/s", "step", "step", "", (("7b", 4500), ("3b", 8000))),
    Row("bits", "what the same bits cost, all in", "%", "bits", "", "", (("7b", "8 %"), ("3b", "8 %"))),
    Row("start", "start to the first token, weights in the page cache", "s", "start", "start", "", (("7b", 8), )),
]
IN_FLOPS = {"prefill"}  # whose goal is in TFLOP/s


def main():
    for name, words in COMMANDS[sys.argv[1]].items():
        print(name, words)


if __name__ == "__main__":
    main()
