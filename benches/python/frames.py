"""Sends messages one way through a Connection: frames.py SIZE COUNT.

Prints the seconds from the first message to the receiver's report.
"""

import multiprocessing
import sys
import time


def receive(messages, reports, size, count):
    reports.send("ready")
    total = 0
    for _ in range(count):
        message = messages.recv_bytes()
        if len(message) != size:
            raise ValueError(f"expected {size} bytes, not {len(message)}")
        total += int.from_bytes(message[:8], "little")
        if message[-1] != message[0]:
            raise ValueError("the last byte of the message is wrong")
    reports.send(total)


def main():
    size, count = map(int, sys.argv[1:])
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    reports, reporter = context.Pipe(duplex=False)
    child = context.Process(
        target=receive, args=(receiver, reporter, size, count)
    )
    child.start()
    receiver.close()
    reporter.close()
    assert reports.recv() == "ready"

    message = bytearray(size)
    start = time.perf_counter()
    for number in range(count):
        message[:8] = number.to_bytes(8, "little")
        message[-1] = message[0]
        sender.send_bytes(message)
    total = reports.recv()
    seconds = time.perf_counter() - start

    child.join()
    assert child.exitcode == 0, child.exitcode
    assert total == sum(range(count)), total
    print(seconds)


if __name__ == "__main__":
    main()
