import multiprocessing
from multiprocessing import forkserver

setting = 1


def work(method):
    print(f"{method}: the worker sees setting {setting}")


if __name__ == "__main__":
    setting = 2
    forkserver.ensure_running()
    setting = 3
    for method in "spawn", "fork", "forkserver":
        context = multiprocessing.get_context(method)
        worker = context.Process(target=work, args=(method,))
        worker.start()
        worker.join()
