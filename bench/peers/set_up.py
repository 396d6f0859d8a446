#!/usr/bin/env python3
"""Makes build/peers, a virtual environment with what bench/peers needs. Run it again after changing requirements.txt.

    python3 bench/peers/set_up.py
"""

import pathlib
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "build" / "peers"


def main():
    venv.create(TARGET, with_pip=True, clear=True)
    python = TARGET / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--requirement", HERE / "requirements.txt"], check=True
    )
    subprocess.run([python, HERE / "train_step.py", "--check"], check=True)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"[peers] {' '.join(map(str, error.cmd))} ended with {error.returncode}")
