// Forwards TCP connections to one port on one epoll loop: recv and send with one buffer, or splice with pipes.
#include "limit.h"

enum { MAX_FD = 1 << 17, SPLICE = SPLICE_F_MOVE | SPLICE_F_NONBLOCK };

// One way of a connection, known by the descriptor that it reads from.
typedef struct {
    int to;            // where it goes; 0: closed
    int pipe[2];       // in between, when splicing
    char *rest;        // what `to` had no room for: `size` bytes, of which `sent` are gone (in the pipe, when splicing)
    size_t size, sent;
    int is_ending, is_ended; // the end has come in, the end has gone out
} Way;

static Way ways[MAX_FD];
static char buffer[262144];
static int is_splicing;

static void shut(int fd) {
    if (is_splicing) {
        close(ways[fd].pipe[0]);
        close(ways[fd].pipe[1]);
    }
    free(ways[fd].rest);
    ways[fd] = (Way){0};
    close(fd);
}

// Sends what is left over; false if some of it stays.
static int send_rest(Way *way) {
    while (way->sent < way->size) {
        size_t left = way->size - way->sent;
        ssize_t sent = is_splicing ? splice(way->pipe[0], 0, way->to, 0, left, SPLICE)
                                   : send(way->to, way->rest + way->sent, left, MSG_NOSIGNAL);
        if (sent < 0) return 0;
        way->sent += sent;
    }
    free(way->rest);
    way->rest = 0;
    way->size = way->sent = 0;
    return 1;
}

// Sends from the buffer; what finds no room is kept.
static int pass_on(Way *way, size_t size) {
    ssize_t sent = send(way->to, buffer, size, MSG_NOSIGNAL);
    if (sent == (ssize_t)size) return 1;
    if (sent < 0 && errno != EAGAIN) return 0;
    if (sent < 0) sent = 0;
    way->size = size - sent;
    if (!(way->rest = malloc(way->size))) return 0;
    memcpy(way->rest, buffer + sent, way->size);
    return 1;
}

// Moves what has come in, as far as there is room; false if the connection is broken.
static int move(int from) {
    Way *way = &ways[from];
    while (!way->is_ended) {
        if (!send_rest(way)) return errno == EAGAIN;
        ssize_t got = is_splicing ? splice(from, 0, way->pipe[1], 0, sizeof buffer, SPLICE)
                                  : recv(from, buffer, sizeof buffer, 0);
        if (got < 0) return errno == EAGAIN;
        if (got == 0) {
            way->is_ended = 1;
            shutdown(way->to, SHUT_WR);
        } else if (is_splicing) {
            way->size = got;
        } else {
            if (!pass_on(way, got)) return 0;
            // A short read has emptied the socket, and says nothing of an end behind it.
            if (got < (ssize_t)sizeof buffer && !way->size && !way->is_ending) return 1;
        }
    }
    return 1;
}

static void serve(int fd, unsigned events) {
    int other = ways[fd].to, is_well = 1;
    if (!other) return; // closed by an earlier event of this turn
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) ways[fd].is_ending = 1;
    if (events & ~EPOLLOUT) is_well = move(fd);
    if (is_well && events & EPOLLOUT && ways[other].size) is_well = move(other);
    if (!is_well || (ways[fd].is_ended && ways[other].is_ended)) {
        shut(fd);
        shut(other);
    }
}

static void open_way(int ep, int from, int to) {
    ways[from].to = to;
    if (is_splicing && (pipe2(ways[from].pipe, O_NONBLOCK) || fcntl(ways[from].pipe[1], F_SETPIPE_SZ, sizeof buffer) < 0))
        die("pipe");
    watch(ep, EPOLL_CTL_ADD, from, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static void accept_ways(int ep, int listener, int target) {
    struct sockaddr_in to = loopback(target);
    int fd;
    while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
        int other = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (other < 0 || (connect(other, (void *)&to, sizeof to) && errno != EINPROGRESS)) die("connect");
        no_delay(other);
        open_way(ep, fd, other);
        open_way(ep, other, fd);
    }
}

int main(int argc, char **argv) {
    if (argc != 4 || (strcmp(argv[3], "copy") && strcmp(argv[3], "splice"))) {
        fprintf(stderr, "usage: forward PORT TARGET_PORT copy|splice\n");
        return 2;
    }
    raise_descriptor_limit();
    signal(SIGPIPE, SIG_IGN); // splice knows no MSG_NOSIGNAL
    is_splicing = !strcmp(argv[3], "splice");
    int listener = listen_on(atoi(argv[1])), ep = epoll_create1(0);
    struct epoll_event events[512];
    watch(ep, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(ep, events, 512, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_ways(ep, listener, atoi(argv[2]));
            else
                serve(events[i].data.fd, events[i].events);
        }
    }
}
