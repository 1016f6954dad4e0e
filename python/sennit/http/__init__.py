"""HTTP/1.1: a server for plain handlers, and a client for many requests at once."""

from sennit.http.client import Client, ClientResponse
from sennit.http.cors import cors
from sennit.http.events import Event, EventStream
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
from sennit.http.router import ErrorHandler, Router
from sennit.http.server import Handler, Server
from sennit.http.serving import listen, serve
from sennit.http.upgrading import offers_upgrade, tunnel, upgrade

__all__ = [
    "LIMITS",
    "Client",
    "ClientResponse",
    "ErrorHandler",
    "Event",
    "EventStream",
    "FileBody",
    "Handler",
    "Headers",
    "Hook",
    "Limit",
    "Middleware",
    "Request",
    "Response",
    "Router",
    "Server",
    "allow_hosts",
    "call",
    "compose",
    "cors",
    "limit_concurrency",
    "listen",
    "log_requests",
    "offers_upgrade",
    "serve",
    "timeout",
    "tunnel",
    "upgrade",
    "use_json",
]
