"""HTTP/1.1: a server for plain handlers, and a client for many requests at once."""

from sennit.http.client import Client, ClientResponse
from sennit.http.compression import compress, decompressed
from sennit.http.events import Event, EventStream
from sennit.http.files import file_response
from sennit.http.folder import Folder
from sennit.http.forms import Form, FormFile, FormLimits, read_form
from sennit.http.headers import Headers
from sennit.http.limits import LIMITS, Limit
from sennit.http.message import FileBody, Request, Response, use_json
from sennit.http.policy.authentication import Authentication, Basic, Bearer, from_netrc
from sennit.http.policy.cookies import Cookie, CookieJar
from sennit.http.policy.redirects import Redirects
from sennit.http.policy.retrying import Retry
from sennit.http.server import Handler, Server
from sennit.http.serving import listen, serve
from sennit.http.upgrading import offers_upgrade, tunnel, upgrade

__all__ = [
    "LIMITS",
    "Authentication",
    "Basic",
    "Bearer",
    "Client",
    "ClientResponse",
    "Cookie",
    "CookieJar",
    "Event",
    "EventStream",
    "FileBody",
    "Folder",
    "Form",
    "FormFile",
    "FormLimits",
    "Handler",
    "Headers",
    "Limit",
    "Redirects",
    "Request",
    "Response",
    "Retry",
    "Server",
    "compress",
    "decompressed",
    "file_response",
    "from_netrc",
    "listen",
    "offers_upgrade",
    "read_form",
    "serve",
    "tunnel",
    "upgrade",
    "use_json",
]
