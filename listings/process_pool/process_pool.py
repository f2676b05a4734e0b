import math
import multiprocessing
import os


def root(n):
    if n < 0:
        raise ValueError(f"{n} has no square root")
    return math.isqrt(n)


def power(base, exponent):
    return base**exponent


if __name__ == "__main__":
    with multiprocessing.Pool(3) as pool:
        print("map:", pool.map(root, [1, 4, 9, 16, 25, 36]))
        print("starmap:", pool.starmap(power, [(2, 10), (3, 4)]))
        print("apply:", pool.apply(power, (7, 3)))

        pending = pool.apply_async(root, (144,))
        print("the parent goes on")
        print("apply_async:", pending.get())

        try:
            pool.apply(root, (-1,))
        except ValueError as error:
            print("error:", error)
        try:
            # os._exit ends the worker; get() without a timeout would hang.
            pool.apply_async(os._exit, (3,)).get(timeout=0.1)
        except multiprocessing.TimeoutError:
            print("error: no answer within 100 ms")
        print("map:", pool.map(root, [49, 64, 81]))
