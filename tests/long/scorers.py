#!/usr/bin/env python3
"""Compare the scorers of `fovea score` with lmms-eval's functions on answers that are made up here.

usage: FOVEA=build/release/fovea python3 tests/long/scorers.py [NUMBER [SEED]]     by default 1000 answers a scorer

Needs lmms-eval 0.7.3, whose task files are loaded one by one, without the rest of it (in an environment of its own:
pip install --no-deps lmms_eval==0.7.3; pip install loguru numpy pandas pyyaml requests pillow). Every disagreement must
be one of those named below, or the program ends with 1:

trimmed   docvqa     white space around an answer is no part of it; that program counts it in its length
upper     docvqa     that program takes the length of texts in upper case, where a sharp s is two letters
worded    pope       "Yes." and "No, there is none" are answers, as POPE's own program has it; there only "yes" and "no" are
meant     options,   who wrote the answer knows which option it means, or that it means none. Ours says so, the other
          mmmu,      does not: it takes the article A for a letter, one of several letters, a letter that is refused, or,
          realworldqa  where it finds none, draws one

With options, "asks" counts answers where the other program would ask a model; they are not compared.
"""
import collections
import importlib
import importlib.util
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import types
from unittest import mock

NUMBER = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
FOVEA = os.environ.get("FOVEA", "build/release/fovea")
TASKS = pathlib.Path(__file__).resolve().parents[2] / "configs" / "eval"


def load(*names):
    """Modules of lmms_eval, without what its packages import."""
    root = pathlib.Path(importlib.util.find_spec("lmms_eval").origin).parent
    for package in ("lmms_eval", "lmms_eval.tasks", "lmms_eval.api"):
        module = types.ModuleType(package)
        module.__path__ = [str(root.joinpath(*package.split(".")[1:]))]
        sys.modules[package] = module
    for other in ("sacrebleu", "datasets", "evaluate", "sklearn", "sklearn.metrics", "lmms_eval.filters",
                  "lmms_eval.filters.extraction", "lmms_eval.filters.transformation", "lmms_eval.verifiers",
                  "lmms_eval.verifiers.openai", "lmms_eval.api.registry"):
        sys.modules.setdefault(other, mock.MagicMock())
    registry = sys.modules["lmms_eval.api.registry"]
    registry.register_metric = registry.register_aggregation = lambda *args, **more: lambda function: function
    sys.modules["lmms_eval.filters.extraction"].ExtendedRegexFilter = object
    sys.modules["lmms_eval.filters.transformation"].MapFilter = object
    return [importlib.import_module("lmms_eval." + name) for name in names]


(chartqa, metrics, ocrbench, realworldqa, pope, mme, vstar, hrbench, mmbench, mmmu) = load(
    "tasks.chartqa.utils", "api.metrics", "tasks.ocrbench.utils", "tasks.realworldqa.utils", "tasks.pope.utils",
    "tasks.mme.utils", "tasks.vstar_bench.utils", "tasks.hrbench.hrbench_evals", "tasks.mmbench.mmbench_evals",
    "tasks.mmmu.utils")


class Answer:
    def __init__(self, text, truths, question="", category="", group="", meant=""):
        self.text, self.truths, self.question = text, truths, question
        self.category, self.group, self.meant = category, group, meant


def ours(scorer, answers, *more):
    """What fovea says of each: (score, reading); and its sums."""
    with tempfile.TemporaryDirectory() as folder:
        lines, out, task = (os.path.join(folder, name) for name in ("answers", "out", "task.yaml"))
        with open(lines, "w", encoding="utf-8") as file:
            for a in answers:
                json.dump({"turns": [f"<think>?</think>\n<answer>{a.text}</answer>"], "truth": a.truths,
                           "question": a.question, "category": a.category, "group": a.group}, file)
                file.write("\n")
        with open(task, "w", encoding="utf-8") as file:
            file.write(f"name: {scorer}\nscorer: {scorer}\nmetric: mean\ncategory: category\ngroup: group\n")
        done = subprocess.run([FOVEA, "score", "--task", task, "--answers", lines, "--out", out, "--json", *more],
                              stdout=subprocess.PIPE, check=True)
        with open(out, encoding="utf-8") as file:
            verdicts = [json.loads(line) for line in file]
    return [(v["score"], v["reading"]) for v in verdicts], json.loads(done.stdout)


# Answers that are made up.

WORDS = ("total revenue net income year 2019 blue red bar café Straße Ångström north-west No. yes not item "
         "$4.50 12% ½ page (a) e.g. first Ｆｕｌｌ 東京 naïve").split()
SPACES = (" ", " ", " ", "  ", "\n", "\t")


def phrase(r, n):
    return "".join(w + r.choice(SPACES) for w in r.choices(WORDS, k=n)).strip()


def spoilt(r, text):
    """A text with some of its characters changed, left out or added."""
    out = list(text)
    for _ in range(r.choice((0, 0, 1, 1, 2, 3, 6))):
        at = r.randrange(len(out) + 1)
        what = r.randrange(4)
        if what == 0 and out:
            del out[min(at, len(out) - 1)]
        elif what == 1:
            out.insert(at, r.choice("abcXYZ 0189.é"))
        elif what == 2 and out:
            out[min(at, len(out) - 1)] = r.choice("abcXYZ 0189.é")
        else:
            out = list("".join(out).swapcase())
    return "".join(out)


def number(r):
    value = r.choice((r.randrange(-20, 200), r.uniform(-5, 5), r.uniform(0, 1e6), 0, 1e-4, r.randrange(10) / 10))
    form = r.choice(("{}", "{:.2f}", "{:.1f}", "{:.0f}", "{:e}", "{:+}", "{:.3g}", "{:,}"))
    return form.format(value)


def near(r, text):
    try:
        value = float(text.rstrip("%").replace(",", ""))
    except ValueError:
        return text
    value *= 1 + r.choice((0, 0.04, 0.05, -0.05, 0.0500001, 0.06, -0.2))
    return str(round(value, r.choice((0, 1, 2, 6)))) + ("%" if text.endswith("%") else "")


def chartqa_answer(r):
    truth = r.choice((number(r), number(r) + "%", phrase(r, 2)))
    answer = r.choice((near(r, truth), near(r, truth), spoilt(r, truth), truth.upper(), number(r), "$" + truth,
                       truth + "%", f" {truth} ", r.choice(("nan", "inf", "-inf", "1_0", "0x10", "1__0", ".", "+.5"))))
    return Answer(answer.strip() or "?", [truth])


def docvqa_answer(r):
    truths = [phrase(r, r.randrange(1, 5)) for _ in range(r.randrange(1, 4))]
    answer = r.choice((spoilt(r, r.choice(truths)), spoilt(r, r.choice(truths)), phrase(r, 3)))
    return Answer(r.choice(("", "", "", " ")) + answer, truths)


KINDS = ("Regular Text Recognition", "Doc-oriented VQA", "Handwritten Mathematical Expression Recognition")


def ocrbench_answer(r):
    truths = [phrase(r, r.randrange(1, 4)) for _ in range(r.randrange(1, 3))]
    answer = r.choice((spoilt(r, r.choice(truths)), phrase(r, 2) + " " + spoilt(r, r.choice(truths)) + " end",
                       " ".join(r.choice(truths)), r.choice(truths).lower()))
    return Answer(answer.strip() or "?", truths, category=r.choice(KINDS))


YES_NO = ("yes", "no", "Yes", "No", "Yes.", "No.", "yes!", "y", "n", "N", "Y.", "no, there is none", "Yes, it is",
          "I know", "not sure", "maybe", "The answer is yes", "It is not.", "eyes", "none", "now", "There is a dog.",
          "Yes\n", "NO", "a no", "ye", "nope", "1. no", "**yes**", "...no")


def yes_no_answer(r):
    return Answer(r.choice(YES_NO), [r.choice(("Yes", "No", "yes", "no"))])


def plain_yes_no(r):
    return Answer(r.choice(("yes", "no", "Yes", "NO")), [r.choice(("yes", "no"))])


THINGS = ("a red car;a blue car;a bus;a bicycle", "12 cm;13 cm;14 cm;15 cm", "north;south;east;west",
          "the left one;the right one;both;neither", "a teddy bear;a rabbit;a cat;a dog", "2;3;4;5")
SAID = (  # {l}: the letter meant, {t}: its text, {o} another letter
    "{l}", "{l}", "{l}.", "({l})", "{l})", "{l}. {t}", "({l}) {t}", "{l}: {t}", "**{l}**", "{l}, {t}", "{t}", "{t}.",
    "The answer is {l}", "The answer is {l}.", "The correct answer is ({l}).", "Answer: {l}", "Option {l}",
    "I think the answer is {l}, because it shows {t}.", "It is {t}.", "The correct option is {l}. {t}", "{l}\n",
    "So the answer is {t}.", "Not {o}, the answer is {l}.", "{o} is wrong. The answer is {l}.", "My choice is {l}")
UNSAID = ("", "I cannot tell.", "A or B", "The answer is A or C.", "All of them?", "E", "None", "?")


def options_answer(r):
    texts = r.choice(THINGS).split(";")
    letter, other = r.sample("ABCD", 2)
    question = "Which is it?\n" + "\n".join(f"{l}. {t}" for l, t in zip("ABCD", texts))
    if r.random() < 0.12:
        answer, meant = r.choice(UNSAID), ""
    else:
        answer = r.choice(SAID).format(l=letter, t=texts["ABCD".index(letter)], o=other)
        meant = letter
    return Answer(answer or " ", [r.choice(("ABCD", letter))[0]], question, meant=meant)


def realworldqa_answer(r):
    if r.random() < 0.7:
        return options_answer(r)
    truth = phrase(r, r.randrange(1, 3))
    return Answer(r.choice((truth, truth + ".", truth.upper() + "..", spoilt(r, truth), number(r))).strip() or "?",
                  [truth])


def open_answer(r):
    truth = r.choice((number(r), str(r.randrange(50)), phrase(r, 1), phrase(r, 2), r.choice("abc")))
    said = r.choice((truth, truth, near(r, truth), number(r), phrase(r, 2), truth + " m", "1,2345", "1e5x", "3.14e2"))
    line = r.choice(("{}", "The answer is {}.", "so x = {}", "x = {} and thus y is " + number(r), "It could be {}",
                     "{} is the result", "final answer {}", "Result {}\nso " + phrase(r, 3), "is", "so .", "-{}"))
    return Answer(line.format(said), [truth])


# The other program's scores; None: it would ask a model.

def their_ocrbench(a):
    formula = a.category == KINDS[2]
    doc = {"answer": a.truths, "dataset": "HME100k" if formula else "x", "question_type": a.category}
    return ocrbench.ocrbench_process_results(doc, [a.text])["ocrbench_accuracy"]["score"]


def options_of(a):
    return {line[0]: line[3:] for line in a.question.splitlines()[1:]}


def their_mmbench(a):
    letter = MMBENCH.can_infer(a.text, options_of(a))
    return None if not letter else letter == a.truths[0]


def their_hrbench(a):
    letter = hrbench.HRBenchEval.can_infer(HRBENCH, a.text, options_of(a))
    return None if not letter else letter == a.truths[0]


def their_mmmu(a):
    options = options_of(a)
    letter = mmmu.parse_multi_choice_response(a.text, list(options), options)
    return mmmu.eval_multi_choice(a.truths[0], letter)


MMBENCH = mmbench.MMBench_Evaluator()
HRBENCH = hrbench.HRBenchEval("")

COMPARED = (  # name, scorer, answers, their score, why they may differ
    ("chartqa", "chartqa", chartqa_answer, lambda a: chartqa.relaxed_correctness(a.text, a.truths[0]), None),
    ("docvqa", "docvqa", docvqa_answer, lambda a: metrics.anls(a.truths, [a.text])["anls"],
     lambda a, score, reading: ("trimmed" if a.text != a.text.strip() else
                                "upper" if any("ß" in text for text in a.truths + [a.text]) else None)),
    ("ocrbench", "ocrbench", ocrbench_answer, their_ocrbench, None),
    ("pope", "pope", yes_no_answer,
     lambda a: pope.pope_process_results({"answer": a.truths[0], "question_id": 0}, [a.text])["pope_accuracy"]["score"],
     lambda a, score, reading: "worded" if a.text.strip().lower() not in ("yes", "no") else None),
    ("mme", "mme", yes_no_answer,
     lambda a: mme.parse_pred_ans(a.text) == a.truths[0].lower(), None),
    ("realworldqa", "realworldqa", realworldqa_answer,
     lambda a: realworldqa.realworldqa_process_results({"answer": a.truths[0]}, [a.text])["exact_match"], "meant"),
    ("V*", "options", options_answer,
     lambda a: vstar.extract_answer_letter(a.text) == a.truths[0], "meant"),
    ("HR-Bench", "options", options_answer, their_hrbench, "meant"),
    ("MMBench", "options", options_answer, their_mmbench, "meant"),
    ("MMMU options", "mmmu", options_answer, their_mmmu, "meant"),
    ("MMMU open", "mmmu", open_answer, lambda a: mmmu.eval_open(a.truths[0], mmmu.parse_open_response(a.text)), None),
)


def reason(why, a, score, reading):
    if why == "meant":
        return "meant" if a.question and reading == a.meant else None
    return why(a, score, reading) if why else None


def compare(name, scorer, make, theirs, why, r):
    answers = [make(r) for _ in range(NUMBER)]
    said, _ = ours(scorer, answers)
    counts, unexplained, shown = collections.Counter(), [], {}
    for a, (score, reading) in zip(answers, said):
        other = theirs(a)
        if other is None:
            counts["asks"] += 1
        elif abs(score - float(other)) < 1e-9:
            counts["same"] += 1
        elif (named := reason(why, a, score, reading)):
            counts[named] += 1
            shown.setdefault(named, {})[a.text] = (a.truths, score, float(other))
        else:
            unexplained.append((a.text, a.truths, score, float(other), reading))
    print(f"{name:14} " + ", ".join(f"{kind} {n}" for kind, n in sorted(counts.items(), key=lambda c: -c[1])))
    for named, cases in shown.items():
        for text, (truths, score, other) in sorted(cases.items())[:4]:
            print(f"    {named}: {text!r}, truth {truths}: here {score:g}, there {other:g}")
    for text, truths, score, other, reading in unexplained[:8]:
        print(f"    NOT EXPLAINED: {text!r} ({reading!r}), truth {truths}: here {score:g}, there {other:g}")
    return len(unexplained)


def compare_sums(r):
    """F1 and its kin of answers that are all yes or no, and MME's sum."""
    answers = [plain_yes_no(r) for _ in range(NUMBER)]
    _, sums = ours("pope", answers, "metric=yes_no", "scale=1")
    results = [pope.pope_process_results({"answer": a.truths[0], "question_id": 0}, [a.text])["pope_f1_score"]
               for a in answers]
    theirs = {"f1": pope.pope_aggregate_f1_score(results), "accuracy": pope.pope_aggregate_accuracy(results),
              "precision": pope.pope_aggregate_precision(results), "recall": pope.pope_aggregate_recall(results)}
    bad = [key for key, value in theirs.items() if abs(sums["figures"][key] - value) > 1e-9]
    answers, results = [], collections.defaultdict(list)
    for pair in range(NUMBER // 2):
        for _ in range(2):
            a = yes_no_answer(r)
            a.category, a.group = r.choice(("existence", "count", "code_reasoning", "OCR")), f"{pair}.png"
            a.category = answers[-1].category if answers and answers[-1].group == a.group else a.category
            answers.append(a)
            doc = {"answer": a.truths[0], "category": a.category, "question_id": a.group}
            for key, value in mme.mme_process_results(doc, [a.text]).items():
                results[key].append(value)
    _, sums = ours("mme", answers, "metric=pairs")
    for key, name in (("mme_perception_score", "perception"), ("mme_cognition_score", "cognition")):
        if abs(sums["figures"][name] - mme.mme_aggregate_results(results[key])) > 1e-6:
            bad.append(name)
    print("sums           " + ("same" if not bad else "other: " + ", ".join(bad)))
    return len(bad)


def main():
    from loguru import logger
    logger.remove()
    r = random.Random(SEED)
    random.seed(SEED)
    n_bad = sum(compare(*row, r) for row in COMPARED) + compare_sums(r)
    print("scorers: well" if n_bad == 0 else f"scorers: {n_bad} not explained")
    return n_bad != 0


if __name__ == "__main__":
    sys.exit(main())
