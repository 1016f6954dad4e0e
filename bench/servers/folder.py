"""A folder of files under `sennit.http`."""

import sys

from serving import serve

from sennit import http

serve(http.Folder(sys.argv[1]), max_requests=2**31)
