"""Gathers what gpu-check.sh left into one JSON file; its exit code is that of the whole check."""

import json
import os
import platform
import re
import subprocess
import sys
import time

import torch

parts = ("card", "doctor", "tests", "steps", "bench")


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


def lines_of_json(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def not_checked(with_cuda, cards, card, doctor):
    """What a card alone can show, and why it was not seen."""
    if doctor is not None and doctor.get("device", "cpu") != "cpu" and card is not None and card["passed"] > 0:
        return None
    if not with_cuda:
        why = f"torch {torch.__version__} is built without CUDA"
    elif not cards:
        why = "there is no CUDA device, or no driver for it"
    else:
        why = "card or doctor did not run on the card"
    unseen = [
        "whether the CUDA kernels give the references' results",
        "whether a training there takes the CPU's steps, waits once in each and resumes to the byte",
        "FlashAttention and cuDNN, and which way of attention is the fastest",
        "times and bandwidths of the ops",
        "copies from pinned memory and work on several streams at the same time",
    ]
    return {"why": why, "parts": unseen}


def machine(root, build):
    """What is checked and where, asked once."""
    if known := parsed(read(build, "machine.json")):
        return known
    cache = read(os.path.join(build, "cmake"), "CMakeCache.txt")
    nvcc = re.search(r"^EHR_JEPA_NVCC:\w+=(.+)$", cache, re.M)
    nvcc_version = subprocess.run([nvcc[1], "--version"], capture_output=True, text=True).stdout if nvcc else ""
    found = {
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
    }
    with open(os.path.join(build, "machine.json"), "w") as file:
        json.dump(found, file)
    return found


def main(root, build, out, *options):
    exits = {}
    with_cuda = os.environ["GPU_CHECK_CUDA"] == "ON"
    asked = [part for part in parts if part in os.environ["GPU_CHECK_PARTS"].split()]
    wanted = ["configure", "build", *(part for part in asked if with_cuda or part != "card")]
    for stage in wanted:
        code = read(build, f"{stage}.rc").split()
        exits[stage] = {"code": int(code[0]), "seconds": int(code[1])} if code else None
    rows = parsed(read(build, "bench.log"))
    doctor = parsed(read(build, "doctor.log"))
    results = {part: tests(read(build, f"{part}.log")) if part in wanted else None for part in ("card", "tests")}
    cards = devices()
    unseen = not_checked(with_cuda, cards, results["card"], doctor)
    left_out = [part for part in parts if part not in asked]
    report = {
        "format": 3,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **machine(root, build),
        "builtWithCuda": with_cuda,
        "devices": cards,
        "notChecked": unseen,
        "leftOut": left_out,
        "stages": exits,
        "card": results["card"],
        "tests": results["tests"],
        "doctor": doctor,
        "steps": lines_of_json(read(build, "steps.log")),
        "bench": rows,
    }
    with open(out, "w") as file:
        json.dump(report, file, indent="\t")
        file.write("\n")
    if options:
        return 0
    good = all(exits[stage] is not None and exits[stage]["code"] == 0 for stage in wanted)
    for found in results.values():
        if found is not None:
            good = good and found["complete"] and found["failed"] == 0 and found["passed"] + found["skipped"] > 0
    good = good and (rows is not None or "bench" not in wanted) and (doctor is not None or "doctor" not in wanted)
    where = ", ".join(device["name"] for device in cards) or "no CUDA device"
    whole = unseen is None and not left_out
    verdict = "NOT all well" if not good else "all well" if whole else "all well that was run"
    said_of_tests = "; ".join(
        f"{part}: {found['passed']} passed, {found['failed']} failed, {found['skipped']} skipped"
        for part, found in results.items()
        if found is not None
    )
    print(f"gpu-check: {where}; built {'with' if with_cuda else 'without'} CUDA; {said_of_tests}; {verdict}; {out}")
    for part, found in results.items():
        for row in (found or {"results": []})["results"]:
            if row["status"] == "failed":
                print(f"gpu-check: FAILED in {part}: {row['name']}: {row.get('reason', '')}")
    for check in (doctor or {"ops": []})["ops"]:
        numbers = check.get("failed") or f"float32 {check['float32Error']}, bfloat16 {check['bfloat16Error']}, {check['seconds']} s"
        print(f"gpu-check: {'agrees' if check['agrees'] else 'DOES NOT AGREE'}: {check['name']}: {numbers}")
    if left_out:
        print(f"gpu-check: not run: {', '.join(left_out)}")
    if unseen is not None:
        print(f"gpu-check: NOT CHECKED, since {unseen['why']}:", *(f"  - {part}" for part in unseen["parts"]), sep="\n")
    return 1 if not good else 0 if whole else 3


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
