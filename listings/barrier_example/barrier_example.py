import multiprocessing

PARTIES = 3
STEPS = 3


def work(number, wait):
    for step in range(1, STEPS + 1):
        print(f"party {number}: step {step}", flush=True)
        wait()


def no_wait():
    pass


class Announcement:
    """The barrier's action: one party runs it before any is released."""

    def __init__(self):
        self.step = multiprocessing.Value("i", 0)

    def __call__(self):
        self.step.value += 1
        print(f"--- all have taken step {self.step.value} ---", flush=True)


def run(wait):
    processes = [
        multiprocessing.Process(target=work, args=(number, wait))
        for number in range(1, PARTIES + 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    print("without a barrier:", flush=True)
    run(no_wait)

    print("with a barrier:", flush=True)
    run(multiprocessing.Barrier(PARTIES, action=Announcement()).wait)
