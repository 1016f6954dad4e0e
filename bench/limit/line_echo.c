// Echo by lines on one epoll loop: each line is found with memchr, all that are whole leave with one send, and what
// is left of one is kept for its connection.
#include "limit.h"

enum { MAX_FD = 1 << 17, MAX_LINE = 1 << 16 };

static char buffer[262144 + MAX_LINE];
static char *kept[MAX_FD];
static size_t kept_size[MAX_FD];

static void end(int fd) {
    free(kept[fd]);
    kept[fd] = NULL;
    kept_size[fd] = 0;
    close(fd);
}

// Sends back the lines among the first `size` bytes of the buffer; 0 if the connection is over.
static int answer(int fd, size_t size) {
    size_t whole = 0;
    for (char *at; (at = memchr(buffer + whole, '\n', size - whole));) whole = at + 1 - buffer;
    size_t rest = size - whole;
    if (rest > MAX_LINE) return 0;
    // The load waits for its answer, so the socket has room for it.
    if (whole && send(fd, buffer, whole, MSG_NOSIGNAL) != (ssize_t)whole) return 0;
    if (rest) {
        if (!kept[fd]) kept[fd] = malloc(MAX_LINE);
        memcpy(kept[fd], buffer + whole, rest);
    }
    kept_size[fd] = rest;
    return 1;
}

static void serve(int fd) {
    ssize_t got, room = 262144;
    do {
        size_t before = kept_size[fd];
        if (before) memcpy(buffer, kept[fd], before);
        got = recv(fd, buffer + before, room, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0 || !answer(fd, before + got)) {
            end(fd);
            return;
        }
    } while (got == room);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: line_echo PORT\n");
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
                serve(events[i].data.fd);
        }
    }
}
