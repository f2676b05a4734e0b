"""Passes messages of 64 bytes from 4 producers to 4 consumers through a
Queue: queue_of_messages.py COUNT.

Prints the seconds from the start signal to the last consumer's report.
"""

import multiprocessing
import sys
import time

PRODUCERS = CONSUMERS = 4


def produce(queue, ready, go, first, count):
    ready.send(None)
    go.wait()
    for number in range(first, first + count):
        queue.put(number.to_bytes(8, "little") + bytes(56))


def consume(queue, ready, reporter):
    ready.send(None)
    count = total = squares = 0
    while (message := queue.get()) is not None:
        number = int.from_bytes(message[:8], "little")
        assert len(message) == 64
        count += 1
        total += number
        squares += number * number
    reporter.send((count, total, squares))


def main():
    count = int(sys.argv[1])
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    go = context.Event()
    reports, reporter = context.Pipe(duplex=False)
    readies, ready = context.Pipe(duplex=False)
    share = count // PRODUCERS
    producers = [
        context.Process(
            target=produce, args=(queue, ready, go, share * number, share)
        )
        for number in range(PRODUCERS)
    ]
    consumers = []
    for _ in range(CONSUMERS):
        process = context.Process(
            target=consume, args=(queue, ready, reporter)
        )
        consumers.append(process)
    for process in producers + consumers:
        process.start()
    for _ in producers + consumers:
        readies.recv()

    start = time.perf_counter()
    go.set()
    for process in producers:
        process.join()
    for _ in consumers:
        queue.put(None)
    results = [reports.recv() for _ in consumers]
    seconds = time.perf_counter() - start

    for process in consumers:
        process.join()
    for process in producers + consumers:
        assert process.exitcode == 0, process.exitcode
    numbers = range(share * PRODUCERS)
    expected = (
        len(numbers),
        sum(numbers),
        sum(number * number for number in numbers),
    )
    assert tuple(map(sum, zip(*results))) == expected
    print(seconds)


if __name__ == "__main__":
    main()
