"""Sending objects over a network connection, each with its length before it."""

from __future__ import annotations

import socket
import struct
import threading
from dataclasses import dataclass
from typing import Any

import torshi

LENGTH = struct.Struct("!Q")
LIMITS = torshi.Limits(stream=1 << 20)


@dataclass
class Question:
    numbers: list[int]


def send(connection: socket.socket, obj: object) -> None:
    data = torshi.dumps(obj)
    connection.sendall(LENGTH.pack(len(data)) + data)


def receive(connection: socket.socket, expected: Any) -> Any:
    (length,) = LENGTH.unpack(exactly(connection, LENGTH.size))
    if length > (1 << 20):
        raise ValueError(f"a message of {length} bytes is too long")
    # A peer is a stranger: only the expected type, and no more of it than the limits grant.
    return torshi.loads(exactly(connection, length), expected, limits=LIMITS)


def exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError(f"the peer closed the connection {count - len(data)} bytes early")
        data += part
    return bytes(data)


def serve(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        question = receive(connection, Question)
        send(connection, sum(question.numbers))


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        with socket.create_connection(listener.getsockname()) as connection:
            send(connection, Question([1, 2, 3, 4]))
            print("the sum is", receive(connection, int))
        server.join()


if __name__ == "__main__":
    main()
