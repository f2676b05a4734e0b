import logging
import multiprocessing

logging.basicConfig(format="[%(processName)s] %(message)s", level="INFO")


def work():
    logging.info("started")


if __name__ == "__main__":
    for name in "Worker-1", "Downloader-Process", None:
        worker = multiprocessing.Process(target=work, name=name)
        worker.start()
        worker.join()
        logging.info(f"{worker.name} ended: exit status: {worker.exitcode}")
