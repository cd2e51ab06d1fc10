"""Documents in collections, a live query, and a commit: the first five minutes.

Run it with a directory to keep the data: `python examples/quickstart.py app-data`.
"""

import sys
import tempfile
from dataclasses import dataclass

import grebe


@dataclass
class User:
    name: str
    age: int


def main(directory: str) -> None:
    with grebe.open(directory) as store:
        users = store.collection("users", model=User)
        with users.where(grebe.field("age") >= 18).order_by("name").observe() as adults:
            adults.subscribe(lambda found: print("adults:", [user.data.name for user in found]))
            users.doc("1").set(User("John", 28))
            users.doc("2").set(User("Jack", 17))  # no adult, so nobody is told
            users.doc("2").update(age=18)
        users.doc("1").collection("friends").doc("2").set({"since": 2019})
        store.commit()  # on the disk now, whatever happens next

    with grebe.open(directory, read_only=True) as store:
        for user in store.collection("users", model=User):
            print(user.path, user.data)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(temporary)
