// The load of datagrams: there and back on sockets that are connected, by the rules of load.h. A datagram that does not
// come back keeps its socket busy for ever, so a figure with losses shows in the rate.
//
//   udp_load PORT SOCKETS SECONDS RATE echo SIZE
#include "load.h"

static char input[65536], *message;
static ssize_t message_size;

static void start(int fd) {
    if (send(fd, message, message_size, 0) != message_size) die("send");
}

static int receive(int fd) {
    ssize_t got = recv(fd, input, sizeof input, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got != message_size) die("recv");
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 7 || strcmp(argv[5], "echo")) {
        fprintf(stderr, "usage: udp_load PORT SOCKETS SECONDS RATE echo SIZE\n");
        return 2;
    }
    raise_descriptor_limit();
    int sockets = atoi(argv[2]), *fds = calloc(sockets, sizeof *fds);
    message_size = atol(argv[6]);
    message = memset(malloc(message_size), 'x', message_size);
    struct sockaddr_in server = loopback(atoi(argv[1]));
    for (int i = 0; i < sockets; i++) {
        fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (connect(fds[i], (void *)&server, sizeof server)) die("connect");
    }
    report(keep_to_schedule(fds, sockets, atof(argv[3]), atof(argv[4]), start, receive), "");
    return 0;
}
