// TLS echo with OpenSSL on one epoll loop: echo.c with SSL_read and SSL_write between recv and send.
#include "limit.h"
#include "tls.h"

enum { MAX_FD = 1 << 17 };

static SSL *sessions[MAX_FD];
static char plain[1 << 14]; // as long as the longest record

static void drop(int fd) {
    SSL_free(sessions[fd]);
    ERR_clear_error();
    close(fd);
    tls_ready = 0;
}

// Answers every record that is whole; false at the end, good or bad.
static int answer(SSL *ssl) {
    int got;
    while ((got = SSL_read(ssl, plain, sizeof plain)) > 0)
        if (SSL_write(ssl, plain, got) != got) return 0;
    return SSL_get_error(ssl, got) == SSL_ERROR_WANT_READ;
}

static void echo(int fd) {
    ssize_t got;
    do {
        got = tls_receive(fd);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0 || !answer(sessions[fd]) || !tls_flush(fd)) {
            drop(fd);
            return;
        }
    } while (got == sizeof tls_input);
}

static void accept_secure(SSL_CTX *context, int ep, int listener) {
    int fd;
    while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
        if (!(sessions[fd] = SSL_new(context))) tls_die("SSL_new");
        SSL_set_accept_state(sessions[fd]);
        tls_use_buffers(sessions[fd]);
        watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET);
    }
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: tls_echo PORT CERTIFICATE KEY\n");
        return 2;
    }
    raise_descriptor_limit();
    SSL_CTX *context = tls_server(argv[2], argv[3]);
    int listener = listen_on(atoi(argv[1])), ep = epoll_create1(0);
    struct epoll_event events[512];
    watch(ep, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(ep, events, 512, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_secure(context, ep, listener);
            else
                echo(events[i].data.fd);
        }
    }
}
