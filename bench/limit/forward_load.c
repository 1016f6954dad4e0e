// The load of a forwarder: bulk bytes both ways, by the rules of load.h. It is the client and the origin at once, so
// it sees every piece leave at one end and arrive at the other; a piece is what there and back is to the other loads.
//
//   forward_load PORT CONNECTIONS SECONDS RATE SIZE ORIGIN_PORT
//
// PORT is the forwarder's, which connects to ORIGIN_PORT.
#include "load.h"

static int other_end[MAX_FD];
static char input[1 << 18], *piece;
static size_t piece_size;

static void start(int fd) {
    if (send(other_end[fd], piece, piece_size, MSG_NOSIGNAL) != (ssize_t)piece_size) die("send");
}

static int receive(int fd) {
    ssize_t got = recv(fd, input, sizeof input, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) {
        fprintf(stderr, "forward_load: the forwarder has closed a connection\n");
        exit(1);
    }
    exchanges[fd].got += got;
    return exchanges[fd].got >= piece_size;
}

// The origin's end of a connection that was opened just now; a byte has gone through it.
static int far_end(int near, int listener) {
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    char byte = 'x';
    int far;
    if (send(near, &byte, 1, MSG_NOSIGNAL) != 1) die("send");
    if (poll(&wait, 1, 10000) != 1 || (far = accept4(listener, 0, 0, 0)) < 0) die("the forwarder has not connected");
    if (recv(far, &byte, 1, 0) != 1) die("the forwarder has not passed on a byte");
    fcntl(far, F_SETFL, O_NONBLOCK);
    return far;
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: forward_load PORT CONNECTIONS SECONDS RATE SIZE ORIGIN_PORT\n");
        return 2;
    }
    raise_descriptor_limit();
    int connections = atoi(argv[2]), *fds = calloc(2 * connections, sizeof *fds);
    int listener = listen_quietly(atoi(argv[6]));
    piece_size = atol(argv[5]);
    piece = memset(malloc(piece_size), 'x', piece_size);
    for (int i = 0; i < connections; i++) {
        int near = connect_to(atoi(argv[1])), far = far_end(near, listener);
        other_end[near] = far;
        other_end[far] = near;
        fds[i] = near;
        fds[connections + i] = far;
    }
    report(keep_to_schedule(fds, 2 * connections, atof(argv[3]), atof(argv[4]), start, receive), "");
    return 0;
}
