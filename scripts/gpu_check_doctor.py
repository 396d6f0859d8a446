"""Runs each check of `ehrjepa_doctor` in a process of its own, so that a kernel that faults or hangs spoils no other.

    python gpu_check_doctor.py DOCTOR [--quick]

Prints one JSON as the doctor itself does; a check that broke off has `failed` in place of its numbers. Exit code 0 when
every op agrees with its reference, else 1.
"""

import json
import subprocess
import sys

# Of a check: the first use of a card and the reference in float64 on the CPU take most of it.
LONGEST_SECONDS = 120


def checked(command, name):
    try:
        done = subprocess.run([*command, "--op", name], capture_output=True, text=True, timeout=LONGEST_SECONDS)
        found = json.loads(done.stdout)["ops"][0] if done.returncode in (0, 1) else None
        reason = None if found else f"ended with {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}"
    except subprocess.TimeoutExpired:
        found, reason = None, f"was not done within {LONGEST_SECONDS} s"
    except (ValueError, LookupError) as error:
        found, reason = None, f"printed no JSON: {error}"
    return found or {"name": name, "agrees": False, "failed": reason}


def main(doctor, *options):
    command = [doctor, *options]
    listed = subprocess.run([*command, "--list"], capture_output=True, text=True)
    if listed.returncode != 0:
        sys.exit(listed.stderr)
    report = json.loads(listed.stdout)
    report["ops"] = [checked(command, name) for name in report["ops"]]
    report["agrees"] = all(check["agrees"] for check in report["ops"])
    for check in report["ops"]:
        if not check["agrees"]:
            print(f"{check['name']}: {check.get('failed', 'does not agree')}", file=sys.stderr)
    json.dump(report, sys.stdout, indent="\t")
    return 0 if report["agrees"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
