/* What the parts of the load generator have of each other; main.c tells what it does. */
#ifndef LOADGEN_H
#define LOADGEN_H

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#define PATIENCE_SECONDS 5 /* a server that says nothing for so long has failed */
#define EVENTS 256

/* main.c: the options, and how to give up. */

extern int port, count, line_length, with_tls;
extern pid_t server, backend;
extern double warmup, duration;
extern size_t size;

void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* window.c: the measured window, and the latencies in it. */

uint64_t now_ns(void);
void window_start(void);
int window_goes_on(uint64_t now);
void window_count(uint64_t began); /* a request that began then is done */
void window_end(void);
void window_report(void);

/* channel.c: a connection, plain or TLS.  None of these waits, but connect() for the backlog. */

typedef struct {
    int fd, number;
    struct ssl_st *tls; /* NULL: plain */
    short waits_for;    /* after EAGAIN: POLLIN or POLLOUT */
    size_t unsent, unread;
    uint64_t began;
} Connection;

void channel_setup(void);
void channel_open(Connection *connection, int address); /* from 127.0.0.1 + address */
ssize_t channel_send(Connection *connection, const void *data, size_t length);
ssize_t channel_receive(Connection *connection, void *into, size_t length);
void channel_cork(Connection *connection, int on);
int channel_finish(Connection *connection); /* after the server's end: 1 once all is said */
void channel_reset(Connection *connection);

/* held.c and visits.c: the modes. */

extern Connection *connections;
extern int epoll;
extern char *message, buffer[256 * 1024];

void write_message(int number);
int push(Connection *connection); /* 1 once the message is sent */
int wait_events(struct epoll_event *events);
void set_interest(Connection *connection, int operation, uint32_t interest);
void wait_for_end_of_input(void);

void load(void);
void broadcast(void);
void hold(void);
void visits(void);

#endif
