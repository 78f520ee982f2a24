"""A cache in memory: what it keeps, for how long, and how much of it; no network here."""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf

ITEM_LIMIT = 1024 * 1024
"""Bytes of an item, with its key and the overhead."""

ITEM_OVERHEAD = 320
"""Bytes that Python needs for an item beside its key and value (measured on 3.11)."""

MONTH = 30 * 24 * 60 * 60
"""Seconds; an expiry above it is a Unix time."""

NUMBER = re.compile(rb" *([0-9]{1,20}) *")
UNSIGNED_64 = 2**64


class Result(Enum):
    """How an attempt to store ended."""

    STORED = b"STORED"
    NOT_STORED = b"NOT_STORED"
    EXISTS = b"EXISTS"
    NOT_FOUND = b"NOT_FOUND"


@dataclass(slots=True)
class Item:
    """A value; `unique` is another number after each change of it."""

    flags: int
    value: bytes
    expires: float
    unique: int


class Store:
    """Items by key; when they need more than `limit` bytes, the least recently used one goes.

    `clock` tells Unix time. `exptime` is seconds from now up to a month, Unix time above
    that, 0 for never, and anything negative has passed already.
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self.limit = limit
        self.clock = clock
        self.size = 0
        self.hits = self.misses = self.evictions = 0
        self.total = 0  # items ever stored; the last item's `unique` too
        self._items: OrderedDict[bytes, Item] = OrderedDict()
        self._flush_at = inf

    def __len__(self) -> int:
        return len(self._items)

    def fits(self, key: bytes, length: int) -> bool:
        """Whether a value of that length can be kept at all."""
        return len(key) + length + ITEM_OVERHEAD <= min(ITEM_LIMIT, self.limit)

    # One item

    def get(self, key: bytes) -> Item | None:
        item = self._find(key)
        if item is None:
            self.misses += 1
        else:
            self.hits += 1
        return item

    def set(self, key: bytes, flags: int, exptime: int, value: bytes) -> Result:
        return self._put(key, flags, self._expires(exptime), value)

    def add(self, key: bytes, flags: int, exptime: int, value: bytes) -> Result:
        """Store it unless there is one."""
        if self._find(key) is not None:
            return Result.NOT_STORED
        return self.set(key, flags, exptime, value)

    def replace(self, key: bytes, flags: int, exptime: int, value: bytes) -> Result:
        """Store it if there is one."""
        if self._find(key) is None:
            return Result.NOT_STORED
        return self.set(key, flags, exptime, value)

    def append(self, key: bytes, _flags: int, _exptime: int, value: bytes) -> Result:
        """Lengthen the value that there is; its flags and expiry stay."""
        item = self._find(key)
        return self._change(key, item, item.value + value) if item else Result.NOT_STORED

    def prepend(self, key: bytes, _flags: int, _exptime: int, value: bytes) -> Result:
        """As `append`, at the other end."""
        item = self._find(key)
        return self._change(key, item, value + item.value) if item else Result.NOT_STORED

    def cas(self, key: bytes, flags: int, exptime: int, unique: int, value: bytes) -> Result:
        """Store it if nobody has changed the item since `unique` was read."""
        item = self._find(key)
        if item is None:
            return Result.NOT_FOUND
        if item.unique != unique:
            return Result.EXISTS
        return self.set(key, flags, exptime, value)

    def count(self, key: bytes, by: int) -> int | None:
        """Add to a number: wrapped at 64 bits upwards, held at 0 downwards.

        Raises:
            ValueError: the value is no unsigned number of 64 bits.
        """
        item = self._find(key)
        if item is None:
            return None
        # Not int() at once: of a value of a mebibyte it would be slow, and refuses.
        match = NUMBER.fullmatch(item.value)
        if match is None or (number := int(match[1])) >= UNSIGNED_64:
            raise ValueError("the value is not a number")
        number = max(number + by, 0) % UNSIGNED_64
        self._change(key, item, b"%d" % number)
        return number

    def touch(self, key: bytes, exptime: int) -> bool:
        """Set another expiry; say whether there is such an item."""
        item = self._find(key)
        if item is not None:
            item.expires = self._expires(exptime)
        return item is not None

    def delete(self, key: bytes) -> bool:
        """Forget an item; say whether there was one."""
        found = self._find(key) is not None
        if found:
            self._drop(key)
        return found

    # All of them

    def flush(self, delay: int) -> None:
        """Forget, when the delay is over, all that was stored until then."""
        self._flush_at = self._expires(delay) if delay > 0 else -inf
        self._time()

    def _time(self) -> float:
        """Tell the time, once a flush that is due has been done.

        Whatever reads or stores asks for the time first: so nothing that is
        stored after that moment is lost, and no item has to know its age.
        """
        now = self.clock()
        if now >= self._flush_at:
            self._flush_at = inf
            self._items.clear()
            self.size = 0
        return now

    def _expires(self, exptime: int) -> float:
        now = self._time()
        if exptime == 0:
            return inf
        if exptime < 0:
            return -inf
        return exptime if exptime > MONTH else now + exptime

    def _find(self, key: bytes) -> Item | None:
        """Return an item, now the most recently used; one that has expired is dropped."""
        now = self._time()
        item = self._items.get(key)
        if item is None:
            return None
        if item.expires <= now:
            self._drop(key)
            return None
        self._items.move_to_end(key)
        return item

    def _change(self, key: bytes, item: Item, value: bytes) -> Result:
        if not self.fits(key, len(value)):
            return Result.NOT_STORED
        return self._put(key, item.flags, item.expires, value)

    def _put(self, key: bytes, flags: int, expires: float, value: bytes) -> Result:
        if key in self._items:
            self._drop(key)
        self.total += 1
        self._items[key] = Item(flags, value, expires, self.total)
        self.size += len(key) + len(value) + ITEM_OVERHEAD
        while self.size > self.limit:
            self._drop(next(iter(self._items)))
            self.evictions += 1
        return Result.STORED

    def _drop(self, key: bytes) -> None:
        item = self._items.pop(key)
        self.size -= len(key) + len(item.value) + ITEM_OVERHEAD
