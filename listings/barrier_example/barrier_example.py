import multiprocessing

PARTIES = 3
STEPS = 3


def say(line):
    # One write for text and line end, so that lines never mix.
    print(line + "\n", end="", flush=True)


def work(number, wait):
    for step in range(1, STEPS + 1):
        say(f"party {number}: step {step}")
        wait()


def no_wait():
    pass


class Announcement:
    """The barrier's action: one party runs it before any is released."""

    def __init__(self):
        self.step = multiprocessing.Value("i", 0)

    def __call__(self):
        self.step.value += 1
        say(f"--- all have taken step {self.step.value} ---")


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
    say("without a barrier:")
    run(no_wait)

    say("with a barrier:")
    run(multiprocessing.Barrier(PARTIES, action=Announcement()).wait)
