/* The load of the benchmarks: one thread, one epoll, a closed loop.
 *
 *   load       each connection sends a message, waits for a reply of as many bytes, sends the next
 *   broadcast  one connection sends a line, which the server gives to all; the next line is sent
 *              when the last connection has it.  The server greets each with GREETING.
 *   hold       connections are opened, used once, and held; how many are still open is printed
 *              at first and again for each line of input
 *
 * It keeps its connections until standard input ends: a server is ended before its clients are, as
 * it would otherwise spend its last moments on resets.
 *
 * A connection counts as open once the server has answered it rightly, so that none waits in a
 * backlog: what it says first differs between connections and is compared byte by byte, sent whole
 * and in two pieces.  While measuring only the number of bytes is looked at.
 *
 * The server's CPU time (-s: its process) is read at both ends of the measured window, in here,
 * because a window that another process marks is never the same one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GREETING "welcome\r\n"
#define OPEN_TOGETHER 32     /* less than any server's backlog */
#define PER_ADDRESS 8192     /* connections from one source address: the ports are limited */
#define PATIENCE_SECONDS 5   /* a server that says nothing for so long has failed */
#define EVENTS 256
#define STEPS 32             /* the histogram's steps for each doubling: 3 % */

typedef struct {
    int fd;
    size_t unsent, unread;
    uint64_t began;
} Connection;

static int port, count = 50, line_length = 0;
static pid_t server;
static double warmup = 0.5, duration = 2.0;
static size_t size = 1024;

static Connection *connections;
static int epoll;
static char *message, *scratch, buffer[256 * 1024];
static uint64_t histogram[64 * STEPS];

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* Time, and what is made of it. */

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) < 0)
        fail("cannot read a clock: %s", strerror(errno));
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

static uint64_t server_cpu_ns(void)
{
    clockid_t clock;
    if (server == 0)
        return 0;
    if (clock_getcpuclockid(server, &clock) != 0)
        fail("the server is gone");
    return clock_ns(clock);
}

static void note_latency(uint64_t ns)
{
    int doublings = ns < STEPS ? 0 : 63 - __builtin_clzll(ns) - 5;
    histogram[ns < STEPS ? ns : (uint64_t)(doublings + 1) * STEPS + (ns >> doublings) % STEPS]++;
}

static double latency_us(double quantile)
{
    uint64_t total = 0, seen = 0;
    int i;
    for (i = 0; i < 64 * STEPS; i++)
        total += histogram[i];
    for (i = 0; i < 64 * STEPS - 1 && (seen += histogram[i]) < quantile * (double)total; i++)
        ;
    return (i < STEPS ? (double)i : (double)((uint64_t)(STEPS + i % STEPS) << (i / STEPS - 1))) / 1e3;
}

/* The measured window: opens when the warm-up is over, tells when it is to end. */

static struct {
    uint64_t opens, closes, began, server_began, self_began, requests;
} window;

static void window_start(void)
{
    window.opens = now_ns() + (uint64_t)(warmup * 1e9);
    window.closes = 0;
}

static int window_goes_on(uint64_t now)
{
    if (window.closes == 0 && now >= window.opens) {
        memset(histogram, 0, sizeof histogram);
        window.requests = 0;
        window.server_began = server_cpu_ns();
        window.self_began = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        window.began = now_ns();
        window.closes = window.began + (uint64_t)(duration * 1e9);
    }
    return window.closes == 0 || now < window.closes;
}

static void window_report(void)
{
    uint64_t ended = now_ns(), server_ended = server_cpu_ns();
    uint64_t self_ended = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"server_cpu\": %.6f, \"generator_cpu\": %.6f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           (unsigned long long)window.requests, (double)(ended - window.began) / 1e9,
           (double)(server_ended - window.server_began) / 1e9,
           (double)(self_ended - window.self_began) / 1e9, latency_us(0.50), latency_us(0.99));
    fflush(stdout);
}

/* Messages, and opening with a check of the replies. */

static void write_message(char *into, int number)
{
    for (size_t i = 0; i < size; i++)
        into[i] = (char)('a' + (i + (size_t)number) % 26);
    for (size_t end = (size_t)line_length; line_length && end <= size; end += (size_t)line_length)
        memcpy(into + end - 2, "\r\n", 2);
    char digits[16];
    memcpy(into, digits, (size_t)snprintf(digits, sizeof digits, "%08d", number));
}

static void send_whole(int fd, const char *data, size_t length)
{
    for (ssize_t sent; length > 0; data += sent, length -= (size_t)sent)
        if ((sent = send(fd, data, length, MSG_NOSIGNAL)) <= 0)
            fail("check: the server takes no more: %s", strerror(errno));
}

static void expect(int fd, const char *expected, size_t length)
{
    size_t have = 0;
    while (have < length) {
        ssize_t got = recv(fd, scratch + have, length - have, 0);
        if (got == 0)
            fail("check: the server closed after %zu of %zu bytes", have, length);
        if (got < 0)
            fail("check: %zu of %zu bytes came: %s", have, length, strerror(errno));
        have += (size_t)got;
    }
    if (memcmp(scratch, expected, length) != 0)
        fail("check: the reply is not what was sent");
}

static void start_opening(Connection *connection, int number)
{
    struct sockaddr_in here = {.sin_family = AF_INET}, there = here;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    struct linger reset = {.l_onoff = 1}; /* thousands of sockets in TIME_WAIT help nobody */
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (in_addr_t)(number / PER_ADDRESS));
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons((uint16_t)port);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0 ||
        connect(fd, (struct sockaddr *)&there, sizeof there) < 0)
        fail("connect: %s", strerror(errno));
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
    connection->fd = fd;
}

static void check_echo(int fd, int number)
{
    write_message(message, number);
    send_whole(fd, message, size);
    expect(fd, message, size);
    send_whole(fd, message, size / 2 + 1);
    send_whole(fd, message + size / 2 + 1, size - size / 2 - 1);
    expect(fd, message, size);
}

static void open_all(int greeted)
{
    for (int first = 0; first < count; first += OPEN_TOGETHER) {
        int end = first + OPEN_TOGETHER < count ? first + OPEN_TOGETHER : count;
        for (int i = first; i < end; i++)
            start_opening(&connections[i], i);
        for (int i = first; i < end; i++) {
            if (greeted)
                expect(connections[i].fd, GREETING, strlen(GREETING));
            else
                check_echo(connections[i].fd, i);
        }
    }
    write_message(message, 0);
}

/* The loops. */

static int wait_events(struct epoll_event *events)
{
    int ready = epoll_wait(epoll, events, EVENTS, PATIENCE_SECONDS * 1000);
    if (ready <= 0)
        fail("no reply for %d seconds", PATIENCE_SECONDS);
    return ready;
}

static void set_interest(Connection *connection, uint32_t interest)
{
    struct epoll_event event = {.events = interest, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
}

static void push(Connection *connection)
{
    while (connection->unsent > 0) {
        ssize_t sent = send(connection->fd, message + size - connection->unsent, connection->unsent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            fail("send: %s", strerror(errno));
        if (sent < 0)
            return;
        connection->unsent -= (size_t)sent;
    }
}

static void take(Connection *connection)
{
    ssize_t got = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0)
        fail("the server closed a connection: %s", got < 0 ? strerror(errno) : "end of file");
    if ((size_t)got > connection->unread)
        fail("the server sent more bytes than it should");
    connection->unread -= (size_t)got;
}

static void ask(Connection *connection)
{
    connection->unsent = connection->unread = size;
    connection->began = now_ns();
    push(connection);
    if (connection->unsent > 0)
        set_interest(connection, EPOLLIN | EPOLLOUT);
}

static void serve_event(Connection *connection, uint32_t what)
{
    if (what & EPOLLOUT) {
        push(connection);
        if (connection->unsent == 0)
            set_interest(connection, EPOLLIN);
    }
    if (what & ~(uint32_t)EPOLLOUT)
        take(connection);
    if (connection->unread > 0 || connection->unsent > 0)
        return;
    note_latency(now_ns() - connection->began);
    window.requests++;
    ask(connection);
}

static void wait_for_end_of_input(void)
{
    while (read(STDIN_FILENO, buffer, sizeof buffer) > 0)
        ;
}

static void load(void)
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
    window_report();
    wait_for_end_of_input();
}

static void broadcast_once(int sender)
{
    struct epoll_event events[EVENTS];
    uint64_t began = now_ns();
    for (int i = 0; i < count; i++)
        connections[i].unread = size;
    send_whole(connections[sender].fd, message, size);
    for (int waiting = count; waiting > 0;) {
        int ready = wait_events(events);
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            take(connection);
            waiting -= connection->unread == 0;
        }
    }
    note_latency(now_ns() - began);
    window.requests++;
}

static void broadcast(void)
{
    open_all(1);
    write_message(message, 1);
    send_whole(connections[0].fd, message, size);
    for (int i = 0; i < count; i++)
        expect(connections[i].fd, message, size);
    window_start();
    for (int sender = 0; window_goes_on(now_ns()); sender = (sender + 1) % count)
        broadcast_once(sender);
    window_report();
    wait_for_end_of_input();
}

static void say_still_open(void)
{
    int open = 0;
    for (int i = 0; i < count; i++)
        open += recv(connections[i].fd, buffer, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
    printf("%d\n", open);
    fflush(stdout);
}

static void hold(void)
{
    open_all(0);
    do
        say_still_open();
    while (read(STDIN_FILENO, buffer, sizeof buffer) > 0);
}

static void read_options(int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "p:s:c:b:l:w:d:")) != -1;) {
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 's': server = (pid_t)atoi(optarg); break;
        case 'c': count = atoi(optarg); break;
        case 'b': size = (size_t)atol(optarg); break;
        case 'l': line_length = atoi(optarg); break; /* 0: no line ends in the message */
        case 'w': warmup = atof(optarg); break;
        case 'd': duration = atof(optarg); break;
        default: exit(2);
        }
    }
    if (port <= 0 || count <= 0 || size < 16 || (line_length && size % (size_t)line_length))
        fail("a port, connections and at least 16 bytes, in whole lines, are needed");
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    void (*run)(void) = !strcmp(mode, "load")        ? load
                        : !strcmp(mode, "broadcast") ? broadcast
                        : !strcmp(mode, "hold")      ? hold
                                                     : NULL;
    struct rlimit files;
    if (!run)
        fail("usage: loadgen load|broadcast|hold -p PORT [-s PID] [-c CONNECTIONS] [-b BYTES] "
             "[-l LINE_LENGTH] [-w WARMUP] [-d DURATION]");
    read_options(argc - 1, argv + 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    connections = calloc((size_t)count, sizeof *connections);
    message = malloc(size);
    scratch = malloc(size + sizeof GREETING);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !message || !scratch || epoll < 0)
        fail("no memory or no epoll");
    run();
    return 0;
}
