"""pool.py chunks|singly: squares 100,000 numbers with a Pool of two."""

import multiprocessing
import sys
import time

TASKS = 100_000


def square(n):
    return n * n


def main():
    chunksize = {"chunks": None, "singly": 1}[sys.argv[1]]
    numbers = range(TASKS)
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        pool.map(square, range(1000), chunksize)
        start = time.perf_counter()
        squares = pool.map(square, numbers, chunksize)
        seconds = time.perf_counter() - start
    if squares != [n * n for n in numbers]:
        sys.exit("a wrong result")
    print(seconds)


if __name__ == "__main__":
    main()
