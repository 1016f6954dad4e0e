"""The native origin: answers each request after a time, in seconds."""

import sys

from sennit.http import native

native.serve_delayed(0, float(sys.argv[1]), lambda port: print("PORT", port, flush=True))
