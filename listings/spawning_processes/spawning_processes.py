import multiprocessing

setting = 1


def work(method):
    print(f"{method}: the worker sees setting {setting}")


if __name__ == "__main__":
    setting = 2
    for method in "spawn", "fork", "forkserver":
        context = multiprocessing.get_context(method)
        worker = context.Process(target=work, args=(method,))
        worker.start()
        worker.join()
