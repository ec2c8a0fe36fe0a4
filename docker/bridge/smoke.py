"""Check that the JAX of this Python works: `python smoke.py [--json FILE] [CASE ...]`. Exit status: 0 if no case fails.

It uses two devices, unless XLA_FLAGS is set. For cases that are named, it also shows the traceback of a failure.
"""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")  # read when JAX starts

import argparse
import importlib
import json
import logging
import pkgutil
import platform
import sys
import traceback
import warnings
from typing import Any, Dict, List, Optional

warnings.simplefilter("ignore")  # old releases on newer Pythons give many warnings, which don't matter here
logging.disable(logging.WARNING)  # JAX warns that there is no GPU, and logs where a NaN comes from

import jax  # noqa: E402
import numpy as np  # noqa: E402
import smoke_cases  # noqa: E402
from smoke_cases import CASES, Skip  # noqa: E402

for module in pkgutil.iter_modules(smoke_cases.__path__, "smoke_cases."):
    importlib.import_module(module.name)  # fills CASES


def run(name: str, show_traceback: bool) -> str:
    """Run a case. Returns "ok", or why it is not ok."""
    try:
        CASES[name]()
    except Skip as reason:
        return "skipped: {}".format(reason)
    except Exception as error:
        if show_traceback:
            traceback.print_exc()
        return "FAILED: {}: {}".format(type(error).__name__, " ".join(str(error).split())[:160])
    return "ok"


def bridge() -> Optional[Dict[str, Any]]:
    """The facts of the bridge, or `None` if it isn't active."""
    module = sys.modules.get("jax_bridge")
    facts = module.facts() if module is not None else None
    return None if facts is None else facts._asdict()


def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="also write the results to this file")
    parser.add_argument("case", nargs="*", help="the cases to run; all by default")
    options = parser.parse_args(argv)
    unknown = set(options.case) - set(CASES)
    if unknown:
        parser.error("There is no case `{}`. The cases are: {}.".format("`, `".join(sorted(unknown)), ", ".join(CASES)))

    results = {}
    for name in options.case or CASES:
        results[name] = run(name, show_traceback=bool(options.case))
        print("{:24}{}".format(name, results[name]), flush=True)

    counts = {kind: sum(result.startswith(kind) for result in results.values()) for kind in ("ok", "FAILED", "skipped")}
    facts = bridge()
    where = "jax {}, Python {}{}".format(
        jax.__version__, platform.python_version(), "" if facts is None else ", bridge to jaxlib " + facts["jaxlib"]
    )
    print("{}: {ok} ok, {FAILED} failed, {skipped} skipped".format(where, **counts))
    if options.json:
        info = {"jax": jax.__version__, "python": platform.python_version(), "numpy": np.__version__, "bridge": facts}
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump({"info": info, "results": results}, out, indent=2)
    return 0 if counts["ok"] and not counts["FAILED"] else 1


if __name__ == "__main__":
    sys.exit(main())
