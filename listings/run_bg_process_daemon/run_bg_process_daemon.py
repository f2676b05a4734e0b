import multiprocessing
import os
import signal
import sys


def daemon(observer):
    while observer.recv() != "stop":
        observer.send("alive")


def main_program(way, observer):
    sys.stderr = open(os.devnull, "w")
    process = multiprocessing.Process(target=daemon, args=(observer,))
    process.daemon = True
    process.start()
    if way == "exception":
        raise RuntimeError("main was told to raise")
    elif way == "sys.exit":
        sys.exit(3)
    elif way == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)


def is_alive(daemon):
    try:
        daemon.send("still there?")
        return daemon.recv() == "alive"
    except (EOFError, OSError):
        return False


if __name__ == "__main__":
    for way in ["return", "exception", "sys.exit", "SIGKILL"]:
        here, there = multiprocessing.Pipe()
        main = multiprocessing.Process(target=main_program, args=(way, there))
        main.start()
        there.close()
        main.join()
        alive = is_alive(here)
        print(f"{way}: exit code {main.exitcode}, the daemon is alive: {alive}")
        if alive:
            here.send("stop")
