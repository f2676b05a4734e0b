"""barrier.py CYCLES: eight processes meet at a Barrier, again and again."""

import multiprocessing
import sys
import time

PARTIES = 8
WARM_UP = 100


def party(number, barrier, steps, cycles):
    neighbor = (number + 1) % PARTIES
    for cycle in range(1, WARM_UP + cycles + 1):
        steps[number] = cycle
        barrier.wait()
        if steps[neighbor] < cycle:
            sys.exit(f"cycle {cycle}: a party was let go too early")
        if cycle == WARM_UP:
            start = time.perf_counter()
    if number == 0:
        print(time.perf_counter() - start, flush=True)


def main():
    cycles = int(sys.argv[1])
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(PARTIES)
    steps = context.RawArray("Q", PARTIES)
    parties = [
        context.Process(target=party, args=(number, barrier, steps, cycles))
        for number in range(PARTIES)
    ]
    for process in parties:
        process.start()
    for process in parties:
        process.join()
    if any(process.exitcode for process in parties):
        sys.exit("a party failed")


if __name__ == "__main__":
    main()
