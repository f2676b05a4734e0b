import multiprocessing


def producer(name, messages):
    for number in range(1, 6):
        messages.put(f"{name}{number}")


def consumer(messages, answers):
    for message in iter(messages.get, None):
        answers.put(message.upper())


if __name__ == "__main__":
    messages = multiprocessing.Queue(maxsize=4)
    answers = multiprocessing.Queue()
    producers = {
        name: multiprocessing.Process(target=producer, args=(name, messages))
        for name in ["a", "b"]
    }
    consumers = [
        multiprocessing.Process(target=consumer, args=(messages, answers))
        for _ in range(3)
    ]
    for process in [*producers.values(), *consumers]:
        process.start()

    for name, process in producers.items():
        process.join()
        print(f"producer {name} is done")
    for _ in consumers:
        messages.put(None)
    received = sorted(answers.get() for _ in range(10))
    for process in consumers:
        process.join()
        print("a consumer is done")
    print("answers:", " ".join(received))
