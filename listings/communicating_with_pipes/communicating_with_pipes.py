import multiprocessing


def child(words, answers, parents_end):
    parents_end.close()
    count = 0
    try:
        while True:
            answers.send(words.recv().upper())
            count += 1
    except EOFError:
        answers.send(f"{count} words")


if __name__ == "__main__":
    words_reader, words = multiprocessing.Pipe(duplex=False)
    answers, answers_writer = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(
        target=child, args=(words_reader, answers_writer, words)
    )
    process.start()
    words_reader.close()
    answers_writer.close()

    for word in ["fork", "exec", "wait"]:
        words.send(word)
        print(f'sent "{word}", received "{answers.recv()}"')

    words.close()
    print(f'closed the pipe, received "{answers.recv()}"')
    process.join()
    print("child: exit status:", process.exitcode)
