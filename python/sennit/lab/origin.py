"""The origin: answers each request a while after it was read, in a process of its own.

`python -m sennit.lab.origin --wait SECONDS` prints its port, serves until SIGTERM, and then prints
how many requests it has answered.
"""

from __future__ import annotations

import argparse
import sys

from sennit.http.native import serve_delayed
from sennit.lab.leash import die_with_parent

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Serve on a free port of the loopback interface."""
    parser = argparse.ArgumentParser(prog="python -m sennit.lab.origin", description=__doc__)
    parser.add_argument("--wait", type=float, required=True, metavar="SECONDS")
    wait_s = parser.parse_args(arguments).wait
    die_with_parent()
    answered = serve_delayed(0, wait_s, lambda port: print(port, flush=True))
    print(answered, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
