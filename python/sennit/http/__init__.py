"""HTTP/1.1: a server for plain handlers, and a client for many requests at once."""

from sennit.http.client import Client, ClientResponse
from sennit.http.headers import Headers
from sennit.http.message import FileBody, Request, Response, use_json
from sennit.http.server import Handler, Server, listen, serve

__all__ = [
    "Client",
    "ClientResponse",
    "FileBody",
    "Handler",
    "Headers",
    "Request",
    "Response",
    "Server",
    "listen",
    "serve",
    "use_json",
]
