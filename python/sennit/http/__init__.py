"""HTTP/1.1: a server for plain handlers, and a client for many requests at once."""

from sennit.http.client import Client, ClientResponse, StreamedResponse
from sennit.http.compression import compress, decompressed
from sennit.http.cors import cors
from sennit.http.events import Event, EventStream
from sennit.http.files import file_response
from sennit.http.folder import Folder
from sennit.http.forms import Form, FormFile, FormLimits, read_form
from sennit.http.headers import Headers
from sennit.http.lifespan import Hook
from sennit.http.limits import LIMITS, Limit
from sennit.http.message import FileBody, Request, Response, use_json
from sennit.http.middleware import (
    Middleware,
    allow_hosts,
    call,
    compose,
    limit_concurrency,
    log_requests,
    timeout,
)
from sennit.http.policy.authentication import Authentication, Basic, Bearer, from_netrc
from sennit.http.policy.cookies import Cookie, CookieJar
from sennit.http.policy.cookies_txt import dump_cookies_txt, parse_cookies_txt
from sennit.http.policy.proxies import Proxies, Proxy
from sennit.http.policy.redirects import Redirects
from sennit.http.policy.retrying import Retry
from sennit.http.policy.set_cookie import SameSite
from sennit.http.router import ErrorHandler, Router
from sennit.http.server import Handler, Server
from sennit.http.serving import listen, serve
from sennit.http.upgrading import offers_upgrade, tunnel, upgrade
from sennit.http.values import Values

__all__ = [
    "LIMITS",
    "Authentication",
    "Basic",
    "Bearer",
    "Client",
    "ClientResponse",
    "Cookie",
    "CookieJar",
    "ErrorHandler",
    "Event",
    "EventStream",
    "FileBody",
    "Folder",
    "Form",
    "FormFile",
    "FormLimits",
    "Handler",
    "Headers",
    "Hook",
    "Limit",
    "Middleware",
    "Proxies",
    "Proxy",
    "Redirects",
    "Request",
    "Response",
    "Retry",
    "Router",
    "SameSite",
    "Server",
    "StreamedResponse",
    "Values",
    "allow_hosts",
    "call",
    "compose",
    "compress",
    "cors",
    "decompressed",
    "dump_cookies_txt",
    "file_response",
    "from_netrc",
    "limit_concurrency",
    "listen",
    "log_requests",
    "offers_upgrade",
    "parse_cookies_txt",
    "read_form",
    "serve",
    "timeout",
    "tunnel",
    "upgrade",
    "use_json",
]
