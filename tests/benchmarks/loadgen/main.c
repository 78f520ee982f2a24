/* The load of the benchmarks: one thread, one epoll, a closed loop.
 *
 *   load       each connection sends a message, waits for a reply of as many bytes, sends the next
 *   broadcast  one connection sends a line, which the server gives to all; the next line is sent
 *              when the last connection has it.  The server greets each with GREETING.
 *   hold       connections are opened, used once, and held; how many are still open is printed
 *              at first and again for each line of input
 *   visits     each connection is opened, sends a message, reads the same back and then the
 *              server's end, is closed, and another is opened in its place
 *
 * All of them but broadcast also over TLS (-t 1), if they were compiled WITH_TLS: TLS 1.3, one
 * cipher, one group, and each handshake a full one.
 *
 * It keeps its connections until standard input ends: a server is ended before its clients are, as
 * it would otherwise spend its last moments on resets.
 *
 * A held connection counts as open once the server has answered it rightly, so that none waits in
 * a backlog: what it says first differs between connections and is compared byte by byte, sent
 * whole and in two pieces.  While measuring only the number of bytes is looked at; of a visit,
 * whose message is small, every byte.
 *
 * The CPU time of the server's process (-s) and its children is read at both ends of the measured
 * window, in here, because a window that another process marks is never the same one.  That of a
 * backend (-e: what a forwarder forwards to, on this same core) counts as the generator's.
 */
#include "loadgen.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

int port, count = 50, line_length = 0, with_tls = 0;
pid_t server, backend;
double warmup = 0.5, duration = 2.0;
size_t size = 1024;

Connection *connections;
int epoll;
char *message, buffer[256 * 1024];

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static void read_options(int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "p:s:e:c:b:l:t:w:d:")) != -1;) {
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 's': server = (pid_t)atoi(optarg); break;
        case 'e': backend = (pid_t)atoi(optarg); break;
        case 'c': count = atoi(optarg); break;
        case 'b': size = (size_t)atol(optarg); break;
        case 'l': line_length = atoi(optarg); break; /* 0: no line ends in the message */
        case 't': with_tls = atoi(optarg); break;
        case 'w': warmup = atof(optarg); break;
        case 'd': duration = atof(optarg); break;
        default: exit(2);
        }
    }
    if (port <= 0 || count <= 0 || size < 16 || (line_length && size % (size_t)line_length))
        fail("a port, connections and at least 16 bytes, in whole lines, are needed");
}

static void allow_many_files(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    void (*run)(void) = !strcmp(mode, "load")        ? load
                        : !strcmp(mode, "broadcast") ? broadcast
                        : !strcmp(mode, "hold")      ? hold
                        : !strcmp(mode, "visits")    ? visits
                                                     : NULL;
    if (!run)
        fail("usage: loadgen load|broadcast|hold|visits -p PORT [-s PID] [-e PID] "
             "[-c CONNECTIONS] [-b BYTES] [-l LINE_LENGTH] [-t 1] [-w WARMUP] [-d DURATION]");
    read_options(argc - 1, argv + 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    allow_many_files();
    connections = calloc((size_t)count, sizeof *connections);
    message = malloc(size);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !message || epoll < 0)
        fail("no memory or no epoll");
    channel_setup();
    run();
    return 0;
}
