// Answers every request head with one fixed response, as long as the one that Sennit's handler gives.
// Parses nothing but the blank line.
#include "limit.h"

static const char RESPONSE[] = "HTTP/1.1 200 OK\r\n"
                               "date: Mon, 23 Nov 2026 00:00:00 GMT\r\n"
                               "content-type: text/plain; charset=utf-8\r\n"
                               "content-length: 13\r\n\r\nHello, World!";

static char buffer[262144];

static void answer(int fd) {
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        close(fd);
        return;
    }
    char *at = buffer, *end = buffer + (got > 0 ? got : 0), *blank;
    while ((blank = memmem(at, end - at, "\r\n\r\n", 4))) {
        if (send(fd, RESPONSE, sizeof RESPONSE - 1, MSG_NOSIGNAL) < 0) {
            close(fd);
            return;
        }
        at = blank + 4;
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: http PORT\n");
        return 2;
    }
    raise_descriptor_limit();
    int listener = listen_on(atoi(argv[1])), ep = epoll_create1(0);
    struct epoll_event events[512];
    watch(ep, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(ep, events, 512, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_all(ep, listener);
            else
                answer(events[i].data.fd);
        }
    }
}
