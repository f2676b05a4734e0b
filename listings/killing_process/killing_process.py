import multiprocessing
import signal


def worker(ready, stop):
    ready.set()
    stop.wait()


def start_worker():
    ready, stop = multiprocessing.Event(), multiprocessing.Event()
    process = multiprocessing.Process(target=worker, args=(ready, stop))
    process.start()
    ready.wait()
    return process, stop


def describe(exitcode):
    if exitcode >= 0:
        return f"exit status: {exitcode}"
    return f"signal: {-exitcode} ({signal.Signals(-exitcode).name})"


if __name__ == "__main__":
    process, _ = start_worker()
    print("alive:", str(process.is_alive()).lower())
    process.terminate()
    process.join()
    print("terminate:", describe(process.exitcode))
    print("alive:", str(process.is_alive()).lower())

    process, _ = start_worker()
    process.kill()
    process.join()
    print("kill:", describe(process.exitcode))

    process, stop = start_worker()
    stop.set()
    process.join()
    print("join:", describe(process.exitcode))
