/* The modes that open their connections first and keep them: load, broadcast, hold. */
#include "loadgen.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GREETING "welcome\r\n"
#define OPEN_TOGETHER 32 /* less than any server's backlog */
#define PER_ADDRESS 8192 /* connections from one source address: the ports are limited */

static char *scratch;

/* Messages, and opening with a check of the replies: one thing after the other. */

void write_message(int number)
{
    for (size_t i = 0; i < size; i++)
        message[i] = (char)('a' + (i + (size_t)number) % 26);
    for (size_t end = (size_t)line_length; line_length && end <= size; end += (size_t)line_length)
        memcpy(message + end - 2, "\r\n", 2);
    char digits[16];
    memcpy(message, digits, (size_t)snprintf(digits, sizeof digits, "%08d", number));
}

static void wait_until_ready(Connection *connection, const char *what)
{
    struct pollfd wanted = {.fd = connection->fd, .events = connection->waits_for};
    if (errno != EAGAIN)
        fail("check: %s: %s", what, strerror(errno));
    if (poll(&wanted, 1, PATIENCE_SECONDS * 1000) <= 0)
        fail("check: %s: nothing for %d seconds", what, PATIENCE_SECONDS);
}

static void send_whole(Connection *connection, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = channel_send(connection, data, length);
        if (sent == 0)
            fail("check: the server closed");
        if (sent < 0) {
            wait_until_ready(connection, "sending");
            continue;
        }
        data += sent;
        length -= (size_t)sent;
    }
}

static void expect(Connection *connection, const char *expected, size_t length)
{
    size_t have = 0;
    while (have < length) {
        ssize_t got = channel_receive(connection, scratch + have, length - have);
        if (got == 0)
            fail("check: the server closed after %zu of %zu bytes", have, length);
        if (got < 0)
            wait_until_ready(connection, "receiving");
        else
            have += (size_t)got;
    }
    if (memcmp(scratch, expected, length) != 0)
        fail("check: the reply is not what was sent");
}

static void check_echo(Connection *connection)
{
    write_message(connection->number);
    send_whole(connection, message, size);
    expect(connection, message, size);
    send_whole(connection, message, size / 2 + 1);
    send_whole(connection, message + size / 2 + 1, size - size / 2 - 1);
    expect(connection, message, size);
}

static void open_some(int first, int end, int greeted)
{
    for (int i = first; i < end; i++) {
        connections[i].number = i;
        channel_open(&connections[i], i / PER_ADDRESS);
        set_interest(&connections[i], EPOLL_CTL_ADD, EPOLLIN);
    }
    for (int i = first; i < end; i++) {
        if (greeted)
            expect(&connections[i], GREETING, strlen(GREETING));
        else
            check_echo(&connections[i]);
    }
}

static void open_all(int greeted)
{
    scratch = malloc(size + sizeof GREETING);
    if (!scratch)
        fail("no memory");
    for (int first = 0; first < count; first += OPEN_TOGETHER)
        open_some(first, first + OPEN_TOGETHER < count ? first + OPEN_TOGETHER : count, greeted);
    write_message(0);
}

/* The loops. */

int wait_events(struct epoll_event *events)
{
    int ready = epoll_wait(epoll, events, EVENTS, PATIENCE_SECONDS * 1000);
    if (ready <= 0)
        fail("no reply for %d seconds", PATIENCE_SECONDS);
    return ready;
}

void set_interest(Connection *connection, int operation, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data.ptr = connection};
    if (epoll_ctl(epoll, operation, connection->fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
}

void wait_for_end_of_input(void)
{
    while (read(STDIN_FILENO, buffer, sizeof buffer) > 0)
        ;
}

int push(Connection *connection)
{
    while (connection->unsent > 0) {
        const char *rest = message + size - connection->unsent;
        ssize_t sent = channel_send(connection, rest, connection->unsent);
        if (sent < 0 && errno == EAGAIN)
            return 0;
        if (sent <= 0)
            fail("send: %s", sent < 0 ? strerror(errno) : "the server closed a connection");
        connection->unsent -= (size_t)sent;
    }
    return 1;
}

/* Takes one chunk; over TLS, where OpenSSL may have read further than one record, all of them. */
static void take(Connection *connection)
{
    do {
        ssize_t got = channel_receive(connection, buffer, sizeof buffer);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0)
            fail("the server closed a connection: %s", got < 0 ? strerror(errno) : "end of file");
        if ((size_t)got > connection->unread)
            fail("the server sent more bytes than it should");
        connection->unread -= (size_t)got;
    } while (connection->tls && connection->unread > 0);
}

static void ask(Connection *connection)
{
    connection->unsent = connection->unread = size;
    connection->began = now_ns();
    channel_cork(connection, 1);
    push(connection);
    channel_cork(connection, 0);
    if (connection->unsent > 0)
        set_interest(connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void serve_event(Connection *connection, uint32_t what)
{
    if (what & EPOLLOUT && push(connection))
        set_interest(connection, EPOLL_CTL_MOD, EPOLLIN);
    if (what & ~(uint32_t)EPOLLOUT)
        take(connection);
    if (connection->unread > 0 || connection->unsent > 0)
        return;
    window_count(connection->began);
    ask(connection);
}

void load(void)
{
    struct epoll_event events[EVENTS];
    open_all(0);
    window_start();
    for (int i = 0; i < count; i++)
        ask(&connections[i]);
    while (window_goes_on(now_ns())) {
        int ready = wait_events(events);
        for (int i = 0; i < ready; i++)
            serve_event(events[i].data.ptr, events[i].events);
    }
    window_end();
    window_report();
    wait_for_end_of_input();
}

static void broadcast_once(Connection *sender)
{
    struct epoll_event events[EVENTS];
    uint64_t began = now_ns();
    for (int i = 0; i < count; i++)
        connections[i].unread = size;
    send_whole(sender, message, size);
    for (int waiting = count; waiting > 0;) {
        int ready = wait_events(events);
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            take(connection);
            waiting -= connection->unread == 0;
        }
    }
    window_count(began);
}

void broadcast(void)
{
    open_all(1);
    write_message(1);
    send_whole(&connections[0], message, size);
    for (int i = 0; i < count; i++)
        expect(&connections[i], message, size);
    window_start();
    for (int sender = 0; window_goes_on(now_ns()); sender = (sender + 1) % count)
        broadcast_once(&connections[sender]);
    window_end();
    window_report();
    wait_for_end_of_input();
}

static void say_still_open(void)
{
    int open = 0;
    for (int i = 0; i < count; i++)
        open += recv(connections[i].fd, buffer, 1, MSG_PEEK) < 0 && errno == EAGAIN;
    printf("%d\n", open);
    fflush(stdout);
}

void hold(void)
{
    open_all(0);
    do
        say_still_open();
    while (read(STDIN_FILENO, buffer, sizeof buffer) > 0);
}
