"""Gathers what gpu-check.sh left into one JSON file; its exit code is that of the whole check."""

import json
import os
import platform
import re
import subprocess
import sys
import time

import torch

stages = ("configure", "build", "tests", "doctor", "bench")


def said(*command):
    """First line of what a program prints, or None."""
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip().splitlines()
        return lines[0] if lines else None
    except (OSError, subprocess.SubprocessError):
        return None


def read(folder, name):
    try:
        with open(os.path.join(folder, name), errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def devices():
    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(index)
        found.append(
            {
                "name": properties.name,
                "capability": f"{properties.major}.{properties.minor}",
                "memoryBytes": properties.total_memory,
                "multiprocessors": properties.multi_processor_count,
            }
        )
    return found


def tests(text):
    """The TAP of the native tests: `# ...` after a failure is its reason."""
    results = []
    for line in text.splitlines():
        if point := re.match(r"(not )?ok \d+ - (.*?)(?: # SKIP (.*))?$", line):
            failed, name, skipped = point.groups()
            status = "failed" if failed else "skipped" if skipped is not None else "passed"
            results.append({"name": name, "status": status, **({"reason": skipped} if skipped else {})})
        elif line.startswith("# ") and results and results[-1]["status"] == "failed":
            results[-1]["reason"] = line[2:]
    count = {status: sum(row["status"] == status for row in results) for status in ("passed", "failed", "skipped")}
    plan = re.search(r"^1\.\.(\d+)$", text, re.M)
    return {**count, "complete": plan is not None and int(plan[1]) == len(results), "results": results}


def parsed(text):
    """JSON, or None for text that is none."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def not_checked(with_cuda, cards, doctor):
    """What a card alone can show, and why it was not seen."""
    if doctor is not None and doctor.get("device", "cpu") != "cpu":
        return None
    if not with_cuda:
        why = f"torch {torch.__version__} is built without CUDA"
    elif not cards:
        why = "there is no CUDA device, or no driver for it"
    else:
        why = "the checks of ops did not run on the card"
    parts = [
        "whether the CUDA kernels give the references' results",
        "FlashAttention and cuDNN, and which way of attention is the fastest",
        "times and bandwidths of the ops",
        "copies from pinned memory and work on several streams at the same time",
    ]
    return {"why": why, "parts": parts}


def main(root, build, out):
    exits = {}
    for stage in stages:
        code = read(build, f"{stage}.rc").split()
        exits[stage] = {"code": int(code[0]), "seconds": int(code[1])} if code else None
    rows = parsed(read(build, "bench.log"))
    doctor = parsed(read(build, "doctor.log"))
    cache = read(os.path.join(build, "cmake"), "CMakeCache.txt")
    nvcc = re.search(r"^EHR_JEPA_NVCC:\w+=(.+)$", cache, re.M)
    with_cuda = os.environ["GPU_CHECK_CUDA"] == "ON"
    nvcc_version = subprocess.run([nvcc[1], "--version"], capture_output=True, text=True).stdout if nvcc else ""
    result = tests(read(build, "tests.log"))
    cards = devices()
    unseen = not_checked(with_cuda, cards, doctor)
    report = {
        "format": 2,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "project": {
            "version": json.loads(read(root, "package.json"))["version"],
            "commit": said("git", "-C", root, "rev-parse", "HEAD"),
            "changed": said("git", "-C", root, "status", "--porcelain") is not None,
        },
        "versions": {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version() if torch.version.cuda else None,
            "nvcc": (re.search(r"release (\S+),", nvcc_version) or [None, None])[1],
            "driver": said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
            "cmake": said("cmake", "--version"),
            "compiler": said(os.environ.get("CXX", "c++"), "--version"),
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "builtWithCuda": with_cuda,
        "devices": cards,
        "notChecked": unseen,
        "stages": exits,
        "tests": result,
        "doctor": doctor,
        "bench": rows,
    }
    with open(out, "w") as file:
        json.dump(report, file, indent="\t")
        file.write("\n")
    whole = all(exits[stage] is not None and exits[stage]["code"] == 0 for stage in stages)
    good = whole and result["complete"] and result["failed"] == 0 and result["passed"] > 0 and rows is not None and doctor is not None
    where = ", ".join(device["name"] for device in cards) or "no CUDA device"
    verdict = "NOT all well" if not good else "all well" if unseen is None else "all well that could be run"
    print(
        f"gpu-check: {where}; built {'with' if with_cuda else 'without'} CUDA; tests: {result['passed']} passed, "
        f"{result['failed']} failed, {result['skipped']} skipped; {verdict}; {out}"
    )
    if unseen is not None:
        print(f"gpu-check: NOT CHECKED, since {unseen['why']}:", *(f"  - {part}" for part in unseen["parts"]), sep="\n")
    return 1 if not good else 0 if unseen is None else 3


sys.exit(main(*sys.argv[1:]))
