// UDP echo on one epoll loop: one recvfrom and one sendto for each datagram, and nothing else.
#include "limit.h"

static char buffer[65536];

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: udp_echo PORT\n");
        return 2;
    }
    struct sockaddr_in own = loopback(atoi(argv[1])), peer;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), ep = epoll_create1(0);
    if (bind(fd, (void *)&own, sizeof own)) die("bind");
    printf("PORT %d\n", bound_port(fd));
    fflush(stdout);
    struct epoll_event event;
    // Level-triggered: a second recvfrom that only finds out that there is no more would cost more.
    watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN);
    for (;;) {
        if (epoll_wait(ep, &event, 1, -1) < 0) die("epoll_wait");
        socklen_t size = sizeof peer;
        ssize_t got = recvfrom(fd, buffer, sizeof buffer, 0, (void *)&peer, &size);
        if (got >= 0) sendto(fd, buffer, got, 0, (void *)&peer, size);
    }
}
