"""The least that Python can do for a broadcast: one epoll, and ``send`` on each socket.

No buffers (a slow reader would lose what the kernel does not take), no limits, no tasks.
"""

from __future__ import annotations

import select
import socket

from .common import BACKLOG, GREETING, HOST, announce, main


def broadcast() -> None:
    poll = select.epoll()
    listener = socket.create_server((HOST, 0), backlog=BACKLOG)
    members: dict[int, socket.socket] = {}
    poll.register(listener, select.EPOLLIN)
    announce(listener.getsockname()[1])
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                member, _ = listener.accept()
                member.setblocking(False)
                member.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                member.send(GREETING + b"\r\n")
                poll.register(member, select.EPOLLIN)
                members[member.fileno()] = member
            elif data := members[fd].recv(65536):
                for member in members.values():
                    member.send(data)
            else:
                members.pop(fd).close()


if __name__ == "__main__":
    main({"broadcast": broadcast})
