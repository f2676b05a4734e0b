import multiprocessing


class CountWords(multiprocessing.Process):
    def __init__(self, result, text):
        super().__init__()
        self.result = result
        self.text = text

    def run(self):
        self.result.send(len(self.text.split()))


class Sum(multiprocessing.Process):
    def __init__(self, result, numbers):
        super().__init__()
        self.result = result
        self.numbers = numbers

    def run(self):
        self.result.send(sum(self.numbers))


def start(kind, argument):
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = kind(sender, argument)
    process.start()
    sender.close()  # so that recv() raises EOFError if the process dies
    return process, receiver


def join(process, receiver):
    result = receiver.recv()
    process.join()
    return result


if __name__ == "__main__":
    words = start(CountWords, "one process asks and another one answers")
    numbers = start(Sum, [5, 8, 13])
    print("count_words:", join(*words))
    print("sum:", join(*numbers))
