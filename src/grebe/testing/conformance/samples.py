"""Names, partitions and values that are allowed, and that a format may trip over."""

from __future__ import annotations

from grebe.core.operation import Put

ODD_SEGMENTS = (
    '"', "\\", '\\"', "a b", " ", " a", "a ", ".", "..", "%2f", "\n", "\r\n", "\t", "\x01", "\x7f",
    "\u2028", "é", "e\u0301", "😀", "漢字", "a'; drop table documents; --", '":', '":{', "],[",
    "}}", "CON", "con", "Users", "users", "__store__", "__manifest__", ".lock", "documents",
    "crc32", "%", "_", "*", "x" * 300,
)  # fmt: skip
"""Names and ids."""

ODD_PARTITIONS = (
    *ODD_SEGMENTS,
    "",
    "a/b",
    "../x",
    "C:\\x",
    "\0",
    "\ud83d",
    "\ud83d\ude00",
    "A",
    "a",
)
"""Names of partitions: any `str` at all."""

ODD_VALUES = (
    "null", "true", "0", "-0.0", "1e400", "0.1", "9007199254740993", '""', '"\\u0041\\n"', '"\\/"',
    '"é\u2028"', '{"a":1,"a":2}', '{"b":1,"a":2}', '{"":{}}', "[[],{},[[[]]]]", "[1, 2]",
    '{"documents":{"x":1}}', '"]}\\n"', '{"crc32":"00000000"}', '{"lsn":1,"operations":[]}',
    f'"{"x" * 70_000}"',
)  # fmt: skip
"""JSON that comes back otherwise if somebody decodes it and encodes it again."""

USERS = (Put("users/1", b"1"), Put("users/1/friends/2", b"2"), Put("users/10", b"3"))
OTHERS = (Put("pets/1", b"4"), Put("users2/1", b"5"))
