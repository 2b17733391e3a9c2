"""Sending objects between two processes over a pipe."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torshi


@dataclass
class Task:
    number: int
    text: str


@dataclass
class Result:
    number: int
    words: int


def worker(connection: Connection) -> None:
    while data := connection.recv_bytes():
        # The worker takes tasks and nothing else.
        task = torshi.loads(data, Task)
        connection.send_bytes(torshi.dumps(Result(task.number, len(task.text.split()))))


def main() -> None:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=worker, args=(there,))
    process.start()
    there.close()  # the worker's end lives on in the worker alone, so its death is noticed here
    for number, text in enumerate(["one two three", "four five"]):
        here.send_bytes(torshi.dumps(Task(number, text)))
        result = torshi.loads(here.recv_bytes(), Result)
        print(f"task {result.number}: {result.words} words")
    here.send_bytes(b"")
    process.join()
    here.close()


if __name__ == "__main__":
    main()
