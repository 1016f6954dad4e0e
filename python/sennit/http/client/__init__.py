"""Fetching over HTTP: requests out, over a pool of connections, with what people expect of that."""

from sennit.http.client.client import Client
from sennit.http.client.response import ClientResponse
from sennit.http.client.streaming import StreamedResponse

__all__ = ["Client", "ClientResponse", "StreamedResponse"]
