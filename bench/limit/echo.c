// TCP echo on one epoll loop: one recv and one send for each message, and nothing else.
#include "limit.h"

static char buffer[262144];

static void echo(int fd) {
    ssize_t got;
    do {
        got = recv(fd, buffer, sizeof buffer, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            close(fd);
            return;
        }
        // The load waits for its answer, so the socket has room for it.
        if (got > 0 && send(fd, buffer, got, MSG_NOSIGNAL) != got) {
            close(fd);
            return;
        }
    } while (got == sizeof buffer);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: echo PORT\n");
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
                echo(events[i].data.fd);
        }
    }
}
