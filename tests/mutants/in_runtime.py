"""Mutants of the part that waits: the drivers, the limits, and accepting."""

from __future__ import annotations

from . import places
from .mutant import Mutant

IN_RUNTIME = (
    Mutant(
        "lose-tail-partly-sent",
        "lose the tail",
        "what the kernel did not take of a send is forgotten, on the fast path",
        "runtime/poll_driver.py",
        """
                     if sent < len(data):
        -                connection.wire.put_back(memoryview(data)[sent:])
                         return False
        """,
        (places.BACKPRESSURE,),
    ),
    Mutant(
        "lose-tail-of-piece",
        "lose the tail",
        "a stream is sent a piece of a large write, which then counts as sent whole",
        "runtime/stream_driver.py",
        """
        -                connection.wire.sent(len(data))
        +                connection.wire.sent(len(connection.wire.peek() or b""))
                         connection.output_tried(len(data), after)
        """,
        (places.WRITING, places.BACKPRESSURE),
    ),
    Mutant(
        "double-chunk-of-stream",
        "double a frame",
        "a chunk that a stream gives while something is held is handed on twice",
        "runtime/stream_driver.py",
        """
                 if connection.holds:
                     connection.feed(data, now)
        -            return False
                 connection.active_at = now
        """,
        (places.LIFECYCLE, places.LINES),
    ),
    Mutant(
        "double-chunk-after-handshake",
        "double a frame",
        "what comes together with news of the layers is delivered twice, on the fast path",
        "runtime/poll_driver.py",
        """
                         self.context.run(self._decoded, data)
        -                return
                 try:
        """,
        (places.OVER_TLS,),
    ),
    Mutant(
        "forget-slot-of-cancelled",
        "forget a slot",
        "a connection whose task is cancelled, or raises, keeps its place",
        "runtime/slots.py",
        '''
        -    async def __aexit__(self, *_: object) -> None:
        +    async def __aexit__(self, kind: object, *_: object) -> None:
                 """Give it back."""
        -        self.release()
        +        if kind is None:
        +            self.release()
        ''',
        (places.WAYS_OUT,),
    ),
    Mutant(
        "forget-slot-of-peer",
        "forget a slot",
        "a connection that has ended still counts as its peer's",
        "runtime/slots.py",
        """
                 if self._group is not None:
        -            self._admission.peer_left(self._group)
                     self._group = None
        """,
        (places.WAYS_OUT,),
    ),
    Mutant(
        "forget-slot-of-handshake",
        "forget a slot",
        "a connection that ends in its handshake keeps its place among those",
        "runtime/slots.py",
        '''
                 """Give everything back."""
        -        self.opened()
                 self.exempt()
        ''',
        (places.WAYS_OUT,),
    ),
    Mutant(
        "forget-slot-of-gone",
        "forget a slot",
        "a peer that has gone before it was accepted keeps its place",
        "runtime/acceptor.py",
        """
                     # It has gone already.
                     sock.close()
        -            return False
        +            return True
        """,
        (places.ACCEPT_ERRORS,),
    ),
    Mutant(
        "ignore-earlier-deadline",
        "ignore a deadline",
        "a deadline that comes before the one that is waited for does not count",
        "runtime/deadlines.py",
        """
        -        if when == inf or (entry is not None and entry.when <= when):
        +        if when == inf or entry is not None:
                     return
        """,
        (places.HEAP, places.DEADLINES),
    ),
    Mutant(
        "swallow-cancelled",
        "swallow Cancelled",
        "the task of a connection that is cancelled ends as if nothing had been",
        "runtime/driver.py",
        """
                         except BaseException as exc:
        -                    raised = exc
        +                    raised = None if isinstance(exc, trio.Cancelled) else exc
                             connection.cancel()
        """,
        (places.CANCELLED_TASK,),
    ),
    Mutant(
        "swallow-cancelled-beside-error",
        "swallow Cancelled",
        "of an error and a Cancelled that come together only the error goes on up",
        "runtime/groups.py",
        """
        -    kept = cancelled[:1] + others
        +    kept = others or cancelled[:1]
             if len(kept) < 2:
        """,
        (places.GROUPS,),
    ),
    Mutant(
        "drop-flush-of-batch",
        "drop a dirty flush",
        "what a callback writes to another connection waits for the next write",
        "runtime/flusher.py",
        """
                 self._in_batch = False
        -        if self._marked:
        -            self.give_turns()
        """,
        (places.FLUSHER, places.CROSSING),
    ),
    Mutant(
        "drop-flush-of-long-round",
        "drop a dirty flush",
        "those who had no turn, as a round took too long, are forgotten",
        "runtime/flusher.py",
        """
                 if done < len(marked):
        -            self._marked = marked[done:] + self._marked
        +            self._marked = self._marked[done:]
        """,
        (places.FLUSHER,),
    ),
    Mutant(
        "drop-flush-of-stream",
        "drop a dirty flush",
        "a stream whose task waits for bytes is not sent what is written from elsewhere",
        "runtime/stream_driver.py",
        """
                 self._wake()
        -        if self._must_send():
        -            self._wake_sender()
                 if self._read_scope is not None and (
        """,
        (places.CROSSING, places.MANY),
    ),
    Mutant(
        "leak-socket-that-was-shed",
        "leak a socket on EMFILE",
        "a connection that is shed, as there are too many open files, stays open",
        "runtime/acceptor.py",
        """
        -                with sock:
        -                    shed += 1
        -                    reset_on_close(sock)
        +                shed += 1
        +                reset_on_close(sock)
        +                sock.detach()
                         monitor.refused(address_from_sockaddr(sockaddr), self.address, why)
        """,
        (places.ACCEPT_ERRORS,),
    ),
    Mutant(
        "leak-socket-of-client",
        "leak a socket on EMFILE",
        "a client that can have no poller leaves its connected socket open",
        "runtime/client.py",
        """
                 driver = _driver(stream, factory, scope)
             except BaseException:
        -        await close_at_once(stream, factory.settings.cleanup_timeout)
                 raise
        """,
        (places.ACCEPT_ERRORS,),
    ),
)
