#!/usr/bin/env python3
"""Compare what `fovea score` says of format, call, answer and tool penalty with this program, on trajectories that are
made up here: 12,000 by default, for both products, both ways to look at a call and all three penalties.

usage: FOVEA=build/release/fovea python3 tests/long/trajectories.py [NUMBER [SEED]]

It is written from VisionThink's paper and from the contracts (fovea/reward/format.h, tool_penalty.h), with regular
expressions, and shares no code with the program. Any difference ends it with 1. What the paper leaves open is decided
in those headers: white space around the pairs, other text between them, unknown members of a call, and which turn is
read for the answer.
"""
import json
import os
import random
import re
import subprocess
import sys
import tempfile

NUMBER = int(sys.argv[1]) if len(sys.argv) > 1 else 12000
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
FOVEA = os.environ.get("FOVEA", "build/release/fovea")
SPACE = "[ \t\n\r\v\f]*"
CALLS = ('{"name": "resize_image", "arguments": {"action": "resize"}}',
         '\n{"name":"resize_image","arguments":{"action":"resize"}}\n',
         '{"arguments": {"action": "resize", "why": 1}, "name": "resize_image", "id": 7}',
         '{"name": "zoom", "arguments": {"action": "resize"}}', '{"name": "resize_image"}', '{', 'resize', '[]',
         '{"name": "resize_image", "arguments": {"action": "crop"}}', '{"name": "resize_image", "arguments": "resize"}',
         '{"name": "resize_image", "name": "resize_image", "arguments": {"action": "resize"}}')
GOOD_CALLS = CALLS[:3]
PIECES = ("<think>", "</think>", "<answer>", "</answer>", "<tool_call>", "</tool_call>", "yes", "no", " ", "\n", "text",
          "<image>", "<Think>", "< think>", "\\boxed{yes}") + CALLS


def think(r):
    return "<think>" + r.choice(("a", "", "a <b>", "a\n\nb")) + "</think>"


def a_turn(r, is_last):
    kind = r.random()
    if kind < 0.12:
        return "".join(r.choices(PIECES, k=r.randrange(9)))
    gap = r.choice(("", "", "", "\n", " ", "so "))
    if r.random() < 0.15:
        is_last = not is_last
    body = (f"<answer>{r.choice(('yes', 'no', ' Yes. ', 'dog', ''))}</answer>" if is_last
            else f"<tool_call>{r.choice(GOOD_CALLS if r.random() < 0.7 else CALLS)}</tool_call>")
    text = r.choice(("", "", "", " ", "\n", "x")) + think(r) + gap + body + r.choice(("", "", "", "\n", " x"))
    if r.random() < 0.12:
        at = r.randrange(len(text) + 1)
        text = text[:at] + r.choice(PIECES) + text[at:]
    if r.random() < 0.06:
        text = text[:r.randrange(len(text) + 1)]
    return text


def trajectory(r):
    n = r.choice((1, 1, 2, 2, 2, 3))
    return [a_turn(r, i == n - 1) for i in range(n)]


# What is right.

def has_one(text, tag):
    return text.count(f"<{tag}>") == 1 and text.count(f"</{tag}>") == 1


def is_thought_and(text, tag, between):
    """One think pair at the start, then one pair of the tag at the end."""
    return (has_one(text, "think") and has_one(text, tag) and
            re.fullmatch(f"{SPACE}<think>.*</think>{between}<{tag}>.*</{tag}>{SPACE}", text, re.DOTALL) is not None)


def has_tags(text, tag):
    return f"<{tag}>" in text or f"</{tag}>" in text


def no_twice(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def is_valid_call(text):
    """What the turn's last call says, if that is the last thing it opens."""
    if text.rfind("<answer>") > text.rfind("<tool_call>"):
        return False
    inside = text[text.rfind("<tool_call>") + len("<tool_call>"):]
    if "</tool_call>" not in inside:
        return False
    try:
        call = json.loads(inside[:inside.index("</tool_call>")], object_pairs_hook=no_twice)
    except ValueError:
        return False
    arguments = call.get("arguments") if isinstance(call, dict) else None
    return isinstance(arguments, dict) and call.get("name") == "resize_image" and arguments.get("action") == "resize"


def format_of(turns, product, calls):
    if product == "general":
        return float(len(turns) == 1 and is_thought_and(turns[0], "answer", SPACE))
    for turn in turns[:-1]:
        if not is_thought_and(turn, "tool_call", ".*") or has_tags(turn, "answer"):
            return 0.0
        if calls == "valid" and not is_valid_call(turn):
            return 0.0
    return float(is_thought_and(turns[-1], "answer", ".*") and not has_tags(turns[-1], "tool_call"))


def answer_of(text, extraction):
    opened = "<answer>" in text
    rest = text.rsplit("<answer>", 1)[-1]
    if extraction == "strict" and not (opened and "</answer>" in rest):
        return ""
    return rest.split("</answer>", 1)[0].strip(" \t\n\r\v\f")


def penalties_of(kind, scores, called, theta, size):
    right = [s >= 0.5 for s in scores]
    n_right, n_direct = sum(right), sum(x and not c for x, c in zip(right, called))
    out = [0.0] * len(scores)
    if kind == "paper" and n_right:
        pays = not n_direct / n_right < theta  # those with a call
        out = [size if x and bool(c) == pays else 0.0 for x, c in zip(right, called)]
    if kind == "code":
        share = n_direct / (n_right + 1e-4)
        out = [size * s if c else size if x and 0 < share < theta else 0.0 for s, x, c in zip(scores, right, called)]
    return out


def score(folder, lines, settings):
    task, answers, out = (os.path.join(folder, name) for name in ("task.yaml", "answers", "out"))
    with open(task, "w", encoding="utf-8") as file:
        file.write("name: t\nscorer: pope\n")
    with open(answers, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    subprocess.run([FOVEA, "score", "--task", task, "--answers", answers, "--out", out, "--product", settings["product"],
                    "--calls", settings["calls"], "--tool-penalty", settings["penalty"], "--theta", str(settings["theta"]),
                    "--size", str(settings["size"]), "extraction=" + settings["extraction"]],
                   stdout=subprocess.DEVNULL, check=True)
    with open(out, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def compare(lines, verdicts, s):
    """The differences, in words. Scores are the program's own: they are compared in scorers.py."""
    found, groups = [], {}
    for i, line in enumerate(lines):
        groups.setdefault(line["row"], []).append(i)
    called = ["<tool_call>" in "".join(turn + "\0" for turn in line["turns"]) for line in lines]
    for group in groups.values():
        pays = penalties_of(s["penalty"], [verdicts[i]["score"] for i in group], [called[i] for i in group], s["theta"],
                            s["size"])
        for i, penalty in zip(group, pays):
            turns = lines[i]["turns"]
            right = {"format": format_of(turns, s["product"], s["calls"]), "called": called[i],
                     "answer": answer_of(turns[-1], s["extraction"]), "tool_penalty": penalty}
            found += [f"{key}: {verdicts[i][key]!r}, expected {value!r}, of {turns!r}"
                      for key, value in right.items() if verdicts[i][key] != value]
    return found


def main():
    r, found, formats = random.Random(SEED), [], []
    with tempfile.TemporaryDirectory() as folder:
        for product in ("efficient", "general"):
            for calls in ("valid", "tags"):
                for penalty in ("none", "paper", "code"):
                    settings = {"product": product, "calls": calls, "penalty": penalty, "theta": r.choice((0.2, 0.5)),
                                "size": r.choice((0.1, 0.25)), "extraction": r.choice(("split", "strict"))}
                    lines = [{"row": i // 8, "turns": trajectory(r), "truth": ("yes", "no")[i // 8 % 2]}
                             for i in range(NUMBER // 12)]
                    verdicts = score(folder, lines, settings)
                    formats.append(sum(v["format"] for v in verdicts) / len(verdicts))
                    found += compare(lines, verdicts, settings)
    for sentence in found[:10]:
        print(sentence)
    print(f"trajectories: {NUMBER // 12 * 12}, {len(found)} differences; format kept by {min(formats):.0%} to "
          f"{max(formats):.0%}")
    return len(found) > 0


if __name__ == "__main__":
    sys.exit(main())
