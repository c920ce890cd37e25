# layer: mountns
import multiprocessing

context = multiprocessing.get_context("fork")
value, numbers = context.Value("i", 0), context.Array("d", 3)


def work(number):
    with value.get_lock():
        value.value += 1
    numbers[number] = number


workers = [context.Process(target=work, args=[number]) for number in range(3)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
assert value.value == 3 and list(numbers) == [0, 1, 2]
