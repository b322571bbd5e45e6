"""Opening one TLS connection for asyncio as a bare socket, for clients that do their own reading.

Rules: nothing here blocks or needs a thread, but for the name look-up; a failure or a
cancellation leaves no socket open.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any


async def dial(host: str, port: int, tls: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a connected, non-blocking socket whose peer's certificate names `host`.

    Every address of the name is tried in turn. Raises OSError (of which ssl.SSLError is one); it
    has no deadline of its own.
    """
    sock = tls.wrap_socket(
        await _connect(host, port), server_hostname=host, do_handshake_on_connect=False
    )
    try:
        await _handshake(sock)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError | None = None
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            # Small packets follow each other here; Nagle's wait costs 40 ms for each.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure or OSError(f"{host} has no address")


async def _handshake(sock: ssl.SSLSocket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            return sock.do_handshake()
        except ssl.SSLWantReadError:
            await _ready(sock, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await _ready(sock, loop.add_writer, loop.remove_writer)


async def _ready(
    sock: ssl.SSLSocket, watch: Callable[..., Any], forget: Callable[..., Any]
) -> None:
    ready = asyncio.Event()
    watch(sock, ready.set)
    try:
        await ready.wait()
    finally:
        forget(sock)
