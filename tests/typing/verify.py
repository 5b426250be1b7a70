"""Every type that a promised name shows is known to a type checker (pyright --verifytypes, kept to the promise)."""

from __future__ import annotations

import json
import subprocess
import sys

import runtimed


def main() -> int:
    argv = ["pyright", "--outputjson", "--verifytypes", "runtimed", "--ignoreexternal"]
    report = json.loads(subprocess.run(argv, capture_output=True, text=True, check=False).stdout)
    symbols = [symbol for symbol in report["typeCompleteness"]["symbols"] if promised(symbol["name"])]
    unclear = [symbol for symbol in symbols if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]]
    for symbol in unclear:
        reasons = "; ".join(found["message"].splitlines()[0] for found in symbol["diagnostics"])
        sys.stdout.write(f"{symbol['name']}: {reasons}\n")
    sys.stdout.write(f"public symbols: {len(symbols)}, of unclear type: {len(unclear)}\n")
    return 1 if unclear or not symbols else 0


# pyright takes every module without an underscore for public; our promise is __all__ and what hangs on it.
HOMES = {
    f"{thing.__module__}.{thing.__qualname__}"
    for thing in (getattr(runtimed, name) for name in runtimed.__all__)
    if hasattr(thing, "__qualname__")
}


def promised(symbol: str) -> bool:
    return any(symbol == home or symbol.startswith(f"{home}.") for home in HOMES)


if __name__ == "__main__":
    sys.exit(main())
