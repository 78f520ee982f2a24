/* A connection to the server: a socket, and TLS in it if that is asked for and compiled in.
 *
 * Sending and receiving are as send(2) and recv(2) on a socket that does not wait: -1 with EAGAIN
 * means later, when the socket is ready for what `waits_for` says.  A TLS handshake is no step of
 * its own: the first bytes sent wait for it.
 */
#include "loadgen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECORD (16 * 1024)

#ifdef WITH_TLS

#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *context;

static int accept_certificate(X509_STORE_CTX *chain, void *unused)
{
    (void)chain, (void)unused;
    return 1;
}

/* All servers get the same offer, so none can choose a cheaper one.  Whom the certificate names is
 * nobody's question here; that the server has its key is always verified. */
static void tls_setup(void)
{
    context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384") ||
        !SSL_CTX_set1_groups_list(context, "X25519"))
        fail("OpenSSL takes none of the options");
    SSL_CTX_set_cert_verify_callback(context, accept_certificate, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(context, 1); /* one recv for a record, not one for its header too */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static void tls_open(Connection *connection)
{
    connection->tls = SSL_new(context);
    if (!connection->tls || !SSL_set_fd(connection->tls, connection->fd))
        fail("no memory for TLS");
    SSL_set_connect_state(connection->tls);
}

/* What an unsuccessful call means, in the terms of a socket. */
static ssize_t tls_answer(Connection *connection, int done)
{
    int why = SSL_get_error(connection->tls, done);
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        connection->waits_for = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        errno = EAGAIN;
        return -1;
    }
    const char *reason = ERR_reason_error_string(ERR_get_error());
    fail("TLS: %s", reason ? reason : strerror(errno));
}

static ssize_t tls_send(Connection *connection, const void *data, size_t length)
{
    ERR_clear_error();
    int sent = SSL_write(connection->tls, data, (int)length);
    return sent > 0 ? sent : tls_answer(connection, sent);
}

static ssize_t tls_receive(Connection *connection, void *into, size_t length)
{
    ERR_clear_error();
    int got = SSL_read(connection->tls, into, (int)length);
    return got > 0 ? got : tls_answer(connection, got);
}

static void tls_say_end(Connection *connection)
{
    if (!(SSL_get_shutdown(connection->tls) & SSL_SENT_SHUTDOWN))
        SSL_shutdown(connection->tls);
}

static void tls_free(Connection *connection)
{
    SSL_free(connection->tls);
    connection->tls = NULL;
}

#else

static void tls_setup(void) { fail("compiled without TLS"); }
static void tls_open(Connection *c) { (void)c; }
static ssize_t tls_send(Connection *c, const void *d, size_t l) { return (void)c, (void)d, (void)l, -1; }
static ssize_t tls_receive(Connection *c, void *i, size_t l) { return (void)c, (void)i, (void)l, -1; }
static void tls_say_end(Connection *c) { (void)c; }
static void tls_free(Connection *c) { (void)c; }

#endif

void channel_setup(void)
{
    if (with_tls)
        tls_setup();
}

static void set_options(int fd)
{
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS}; /* for connect() */
    struct linger reset = {.l_onoff = 1}; /* thousands of sockets in TIME_WAIT help nobody */
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
}

void channel_open(Connection *connection, int address)
{
    struct sockaddr_in here = {.sin_family = AF_INET}, there = here;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (in_addr_t)address);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons((uint16_t)port);
    set_options(fd);
    if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0 ||
        connect(fd, (struct sockaddr *)&there, sizeof there) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        fail("connect: %s", strerror(errno));
    connection->fd = fd;
    if (with_tls)
        tls_open(connection);
}

ssize_t channel_send(Connection *connection, const void *data, size_t length)
{
    connection->waits_for = POLLOUT;
    return connection->tls ? tls_send(connection, data, length)
                           : send(connection->fd, data, length, MSG_NOSIGNAL);
}

ssize_t channel_receive(Connection *connection, void *into, size_t length)
{
    connection->waits_for = POLLIN;
    return connection->tls ? tls_receive(connection, into, length)
                           : recv(connection->fd, into, length, 0);
}

/* While it is on, only full segments leave: so the records of a large message leave together, as
 * the message would without TLS.  For a small one it is not worth its two system calls. */
void channel_cork(Connection *connection, int on)
{
    if (connection->tls && size > RECORD)
        setsockopt(connection->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

/* Over TLS the server's end is answered, and some servers close only then. */
int channel_finish(Connection *connection)
{
    char rest[64];
    if (!connection->tls)
        return 1;
    tls_say_end(connection);
    ssize_t got;
    while ((got = recv(connection->fd, rest, sizeof rest, 0)) > 0)
        ;
    return got == 0 || errno != EAGAIN;
}

void channel_reset(Connection *connection)
{
    if (connection->tls)
        tls_free(connection);
    close(connection->fd);
}
