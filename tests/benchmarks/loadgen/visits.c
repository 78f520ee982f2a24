/* Connections that are opened, used once and closed: what it costs to accept one.
 *
 * The server closes first, when it has answered; the reset that then closes ours leaves no socket
 * in TIME_WAIT on either side.  Were one left all the same, the ports would still do: each visit
 * comes from another address.
 */
#include "loadgen.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define ADDRESSES 128

static int visitors, under_way;

static void arrive(Connection *connection)
{
    connection->number = visitors++;
    under_way++;
    connection->unsent = connection->unread = size;
    connection->began = now_ns();
    channel_open(connection, connection->number % ADDRESSES);
}

/* What is still to be sent; most often this is all of it, at once. */
static void speak(Connection *connection)
{
    write_message(connection->number);
    push(connection);
}

/* 1 once the whole answer has come, and the end after it. */
static int listen_to_end(Connection *connection)
{
    ssize_t got;
    while ((got = channel_receive(connection, buffer, sizeof buffer)) > 0) {
        if ((size_t)got > connection->unread)
            fail("the server sent more bytes than it should");
        write_message(connection->number);
        if (memcmp(buffer, message + size - connection->unread, (size_t)got) != 0)
            fail("the answer is not what was sent");
        connection->unread -= (size_t)got;
    }
    if (got < 0 && errno != EAGAIN)
        fail("receive: %s", strerror(errno));
    if (got == 0 && connection->unread > 0)
        fail("the server closed before its answer was whole");
    return got == 0;
}

static uint32_t interest(const Connection *connection)
{
    int must_send = connection->unsent > 0 && connection->waits_for == POLLOUT;
    return EPOLLIN | (must_send ? EPOLLOUT : 0u);
}

static void begin(Connection *connection)
{
    arrive(connection);
    speak(connection);
    set_interest(connection, EPOLL_CTL_ADD, interest(connection));
}

static void speak_on(Connection *connection)
{
    uint32_t before = interest(connection);
    speak(connection);
    if (interest(connection) != before)
        set_interest(connection, EPOLL_CTL_MOD, interest(connection));
}

static void leave(Connection *connection)
{
    window_count(connection->began);
    channel_reset(connection);
    under_way--;
}

/* 1 once the visit is over. */
static int go_on(Connection *connection)
{
    if (connection->unsent > 0)
        speak_on(connection);
    else if (listen_to_end(connection) && channel_finish(connection))
        return leave(connection), 1;
    return 0;
}

static void turn(int come_again)
{
    struct epoll_event events[EVENTS];
    int ready = wait_events(events);
    for (int i = 0; i < ready; i++)
        if (go_on(events[i].data.ptr) && come_again)
            begin(events[i].data.ptr);
}

/* The window over, the last visits are seen to their end, so that none of them has hung. */
void visits(void)
{
    for (int i = 0; i < count; i++)
        begin(&connections[i]);
    window_start();
    while (window_goes_on(now_ns()))
        turn(1);
    window_end();
    while (under_way > 0)
        turn(0);
    window_report();
    wait_for_end_of_input();
}
