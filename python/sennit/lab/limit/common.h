// Shared by the C programs of the lab: the clock, sockets, an epoll set, what the process has used.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

// Seconds on a core, user and system.
static inline double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

// A line of /proc/self/status such as "VmRSS", in bytes.
static inline long memory(const char *name) {
    char line[256];
    long kib = 0;
    size_t length = strlen(name);
    FILE *status = fopen("/proc/self/status", "r");
    if (!status) die("/proc/self/status");
    while (fgets(line, sizeof line, status))
        if (!strncmp(line, name, length) && line[length] == ':') kib = atol(line + length + 1);
    fclose(status);
    return kib * 1024;
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

static inline void watch(int ep, int op, int fd, unsigned events) {
    struct epoll_event e = {.events = events, .data.fd = fd};
    if (epoll_ctl(ep, op, fd, &e)) die("epoll_ctl");
}
