"""Accounts in several partitions, and transfers that are known beforehand: a checkable workload.

Invariants of every commit: all banks show the same version; the balances are exactly those after
the first `version` transfers; so their sum never changes.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import grebe
from grebe.cli.errors import CommandError

CITIES = ("lima", "oslo", "paris", "tokyo")
ACCOUNTS_COUNT = 5
"""Accounts of each bank."""
OPENING_BALANCE = 1000
TOTAL = len(CITIES) * ACCOUNTS_COUNT * OPENING_BALANCE


class Transfer(NamedTuple):
    """Money that goes from one bank to another."""

    source: str
    target: str
    amount: int


def banks(store: grebe.Store) -> grebe.Collection[Any]:
    """Return the collection of the banks, each in a partition with all of its accounts."""
    return store.collection("banks", partition=lambda bank: f"bank-{bank.id}")


def open_accounts(store: grebe.Store) -> None:
    """Create banks and accounts as of version 0."""
    collection = banks(store)
    balances = balances_after(0, 0)
    for city in CITIES:
        collection.doc(city).create({"version": 0})
    for path, balance in balances.items():
        store.doc(path).create({"balance": balance})


def transfer(seed: int, version: int) -> Transfer:
    """Return the transfer that leads to a version; the same in every process."""
    chance = random.Random(f"{seed}/{version}")
    source, target = chance.sample(CITIES, 2)
    return Transfer(
        _account(source, chance.randrange(ACCOUNTS_COUNT)),
        _account(target, chance.randrange(ACCOUNTS_COUNT)),
        chance.randint(1, 100),
    )


def make_transfer(store: grebe.Store, seed: int, version: int) -> None:
    """Do the transfer, and note its version in every bank, as one transaction."""
    collection = banks(store)
    source, target, amount = transfer(seed, version)
    with store.transaction() as tx:
        for path, change in ((source, -amount), (target, amount)):
            account = store.doc(path)
            before = tx.get(account)
            if before is None:
                raise CommandError(f"{path} is missing; give the demo a new directory")
            tx.update(account, balance=before.data["balance"] + change)
        for city in CITIES:
            tx.set(collection.doc(city), {"version": version})


def balances_after(seed: int, version: int) -> dict[str, int]:
    """Return the balance of each account after the first `version` transfers. O(version)."""
    balances = {
        _account(city, number): OPENING_BALANCE
        for city in CITIES
        for number in range(ACCOUNTS_COUNT)
    }
    for done in range(1, version + 1):
        source, target, amount = transfer(seed, done)
        balances[source] -= amount
        balances[target] += amount
    return balances


def versions_in(store: grebe.Store) -> list[int]:
    """Return the version that each bank shows; one that is missing shows -1."""
    found = [banks(store).doc(city).get() for city in CITIES]
    return [-1 if bank is None else bank.data["version"] for bank in found]


def balances_in(store: grebe.Store) -> dict[str, int]:
    """Return the balance of each account that is there."""
    return {
        account.path: account.data["balance"]
        for city in CITIES
        for account in banks(store).doc(city).collection("accounts")
    }


def _account(city: str, number: int) -> str:
    return f"banks/{city}/accounts/{number}"
