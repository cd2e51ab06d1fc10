"""A live to-do list: the same script on the desktop and in a page, but for one line.

python examples/browser/todo.py            # documents in a directory
python3 examples/browser/serve.py          # documents in the browser, with page.py on top
"""

import asyncio
from collections.abc import Callable

import grebe
from grebe import field

TARGET = "todo-data"  # in a page: "indexeddb:todo"


class TodoList:
    """Tasks in a store, watched by whoever shows them."""

    def __init__(self, store: grebe.Store) -> None:
        self.tasks = store.collection("tasks", partition="todo", indexes=["done"])
        self.waiting = self.tasks.where(field("done") == False)  # noqa: E712 - a condition

    def add(self, text: str) -> None:
        """Add a task at the end."""
        self.tasks.doc().create({"text": text, "done": False})

    def set_done(self, task_id: str, done: bool) -> None:
        """Tick a task, or untick it."""
        self.tasks.doc(task_id).update(done=done)

    def remove_done(self) -> None:
        """Remove what is done."""
        for task in self.tasks.where(field("done") == True).get():  # noqa: E712
            task.doc.delete()

    def watch(self, show: Callable[[], object]) -> grebe.Observer:
        """Have `show` called after each change, and once now."""
        observer = self.tasks.observe()
        observer.subscribe(lambda _: show())
        show()
        return observer

    def lines(self) -> list[str]:
        """Return the list as text."""
        return [f"[{'x' if t.data['done'] else ' '}] {t.data['text']}" for t in self.tasks.get()]


async def main() -> list[str]:
    """Add two tasks, do one, and return what the store holds after a reopen."""
    async with await grebe.aopen(TARGET) as store:
        todo = TodoList(store)
        with todo.watch(lambda: print(len(todo.waiting.get()), "to do")):
            todo.add("Buy milk")
            todo.add("Water the plants")
            await asyncio.sleep(0)  # observers are told in the next turn of the loop
            todo.set_done(todo.tasks.get()[0].id, True)
            await store.acommit()
    async with await grebe.aopen(TARGET) as store:
        return TodoList(store).lines()


if __name__ == "__main__":
    print("\n".join(asyncio.run(main())))
