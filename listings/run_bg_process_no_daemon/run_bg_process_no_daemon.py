import multiprocessing
import os


def worker(observer):
    while observer.recv() != "stop":
        observer.send("alive")


def main_program(leave, observer):
    process = multiprocessing.Process(target=worker, args=(observer,))
    process.start()
    observer.send("started a worker")
    if leave == "os._exit":
        os._exit(0)


if __name__ == "__main__":
    for leave in ["return", "os._exit"]:
        print(f"main leaves by {leave}", flush=True)
        here, there = multiprocessing.Pipe()
        main = multiprocessing.Process(target=main_program, args=(leave, there))
        main.start()
        print("main:", here.recv())
        main.join(timeout=0.1 if leave == "return" else None)
        print("main: has ended:", str(not main.is_alive()).lower())

        here.send("still there?")
        print("worker:", here.recv())
        here.send("stop")
        main.join()
        print("main: ended, exit status:", main.exitcode)
