// Shared by the limit programs: the clock, a listening socket that says its port, an epoll set.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static inline void no_delay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static inline void raise_descriptor_limit(void) {
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r)) die("getrlimit");
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r)) die("setrlimit");
}

static inline int bound_port(int fd) {
    struct sockaddr_in a;
    socklen_t size = sizeof a;
    if (getsockname(fd, (void *)&a, &size)) die("getsockname");
    return ntohs(a.sin_port);
}

static inline int listen_quietly(int port) {
    struct sockaddr_in a = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    no_delay(fd); // accepted sockets inherit it
    if (bind(fd, (void *)&a, sizeof a)) die("bind");
    if (listen(fd, 65535)) die("listen");
    return fd;
}

// Listens on a port, 0 for a free one, and says on standard output which.
static inline int listen_on(int port) {
    int fd = listen_quietly(port);
    printf("PORT %d\n", bound_port(fd));
    fflush(stdout);
    return fd;
}

static inline void watch(int ep, int op, int fd, unsigned events) {
    struct epoll_event e = {.events = events, .data.fd = fd};
    if (epoll_ctl(ep, op, fd, &e)) die("epoll_ctl");
}

static inline void accept_all(int ep, int listener) {
    int fd;
    while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0)
        watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET);
}

// A connected socket; blocking while it connects, not afterwards.
static inline int connect_to(int port) {
    struct sockaddr_in to = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (void *)&to, sizeof to)) die("connect");
    no_delay(fd);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}
