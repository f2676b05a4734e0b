import multiprocessing


def logger(records):
    number = 0
    while (record := records.get()) is not None:
        number += 1
        print(f"logger: {number}: {record}")
    print("logger: no more records")


def is_prime(n):
    return all(n % divisor for divisor in range(2, n))


if __name__ == "__main__":
    print("main: starts the logger")
    records = multiprocessing.SimpleQueue()
    process = multiprocessing.Process(target=logger, args=(records,))
    process.start()

    for limit in [10, 100, 1000]:
        primes = sum(is_prime(n) for n in range(2, limit))
        records.put(f"{primes} primes below {limit}")
    running = process.is_alive()

    records.put(None)
    process.join()
    print("main: the logger ran all the time:", str(running).lower())
    print("main: joined the logger: exit status:", process.exitcode)
