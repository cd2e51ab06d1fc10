"""The page of the to-do list: HTML from documents, documents from what is clicked."""

import js
import todo
from pyodide.ffi import create_proxy

import grebe


async def start() -> None:
    """Open the store and keep the page showing it, until the tab is closed."""
    try:
        store = await grebe.aopen(todo.TARGET, on_commit=lambda _: say("Saved"))
    except grebe.StoreLockedError:
        say("The list is open in another tab; close that, and reload")
        return
    tasks = todo.TodoList(store)

    def show() -> None:
        rows = [row(task) for task in tasks.tasks.get()]
        js.document.getElementById("tasks").replaceChildren(*rows)
        left = len(tasks.waiting.get())
        js.document.getElementById("left").textContent = f"{left} of {len(rows)} to do"

    def add(event: js.Event) -> None:
        event.preventDefault()
        text = js.document.getElementById("text")
        if text.value.strip():
            tasks.add(text.value.strip())
            say("Saving")
        text.value = ""

    def tick(event: js.Event) -> None:
        tasks.set_done(event.target.dataset.id, event.target.checked)
        say("Saving")

    def clear(_: js.Event) -> None:
        tasks.remove_done()
        say("Saving")

    listen("add", "submit", add)
    listen("tasks", "change", tick)
    listen("clear", "click", clear)
    tasks.watch(show)
    say(f"Loaded {len(tasks.tasks)} tasks")


def row(task: grebe.Snapshot) -> js.HTMLElement:
    """Return the line of one task."""
    box = js.document.createElement("input")
    box.type, box.checked, box.dataset.id = "checkbox", task.data["done"], task.id
    label = js.document.createElement("label")
    label.append(box, task.data["text"])
    item = js.document.createElement("li")
    item.append(label)
    return item


def listen(element_id: str, event: str, handler: object) -> None:
    """Have a function called by an element as long as the page is there."""
    js.document.getElementById(element_id).addEventListener(event, create_proxy(handler))


def say(text: str) -> None:
    """Show a line about what happens."""
    js.document.getElementById("status").textContent = text
