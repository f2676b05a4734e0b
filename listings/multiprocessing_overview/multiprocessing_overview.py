import multiprocessing
import sys


def add(go, a, b):
    go.wait()
    print(f"{a} + {b} = {a + b}")


def fail(go):
    go.wait()
    sys.exit(3)


if __name__ == "__main__":
    go = multiprocessing.Event()
    adder = multiprocessing.Process(target=add, args=(go, 2, 40))
    failing = multiprocessing.Process(target=fail, args=(go,))
    adder.start()
    failing.start()
    alive = str(adder.is_alive()).lower(), str(failing.is_alive()).lower()
    print("alive:", *alive, flush=True)

    go.set()
    adder.join()
    print("add: exit status:", adder.exitcode)
    failing.join()
    print("fail: exit status:", failing.exitcode)
    alive = str(adder.is_alive()).lower(), str(failing.is_alive()).lower()
    print("alive:", *alive)
