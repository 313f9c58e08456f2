"""What a peer measured: a file of JSON that is whole after each figure, and the medians in it."""
import datetime
import gc
import json
import statistics
import time

import torch

device = "cuda" if torch.cuda.is_available() else "cpu"


class Figures:
    def __init__(self, path, program, shape):
        self.path = path
        self.data = {"program": program, "shape": shape, "date": datetime.date.today().isoformat(),
                     "device": torch.cuda.get_device_name() if device == "cuda" else "cpu", "figures": {}}

    def add(self, key, measure):
        """measure() gives (value, note); a row that cannot run says why."""
        try:
            value, note = measure()
            self.data["figures"][key] = {"value": value, "note": note}
        except Exception as failure:  # of any library, and every kind of it is a line of the table
            text = str(failure).strip().splitlines()
            self.data["figures"][key] = {"why": f"{type(failure).__name__}: {text[0] if text else ''}"[:160]}
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
        with open(self.path, "w") as file:
            json.dump(self.data, file, indent=1)
        print(key, self.data["figures"][key], flush=True)


def wait():
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(run, repeats=3, prepare=None):
    """The median of some repeats after one that does not count."""
    seconds = []
    for i in range(repeats + 1):
        if prepare:
            prepare()
        wait()
        start = time.monotonic()
        run()
        wait()
        if i > 0:
            seconds.append(time.monotonic() - start)
    return statistics.median(seconds)
