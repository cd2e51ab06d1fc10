"""Money that is never lost: transactions over documents in different files.

Each account is in a partition of its own, so in a file of its own. A transfer changes two of
them, in memory and on the disk, or none.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor

import grebe


def transfer(store: grebe.Store, source: str, target: str, amount: int) -> None:
    """Move money, again if somebody else moved some meanwhile."""
    accounts = store.collection("accounts")

    def move(tx: grebe.Transaction) -> None:
        for name, change in ((source, -amount), (target, amount)):
            found = tx.get(accounts.doc(name))
            if found is None:
                raise ValueError(f"there is no account {name}")
            if found.data["balance"] + change < 0:
                raise ValueError(f"{name} has only {found.data['balance']}")
            tx.update(accounts.doc(name), balance=found.data["balance"] + change)

    store.run_transaction(move, attempts=100)
    store.commit()


def main(directory: str) -> None:
    with grebe.open(directory) as store:
        accounts = store.collection("accounts", partition=lambda account: account.id)
        accounts.create_many({"ann": {"balance": 100}, "bob": {"balance": 100}})
        with ThreadPoolExecutor(4) as pool:
            for _ in range(20):
                pool.submit(transfer, store, "ann", "bob", 5)
                pool.submit(transfer, store, "bob", "ann", 3)
        try:
            transfer(store, "ann", "bob", 1000)
        except ValueError as error:
            print("refused:", error)
        for account in accounts:
            print(account.id, account.data["balance"])
        print("files:", sorted(store.partitions()))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(temporary)
