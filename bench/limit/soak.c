// A long load of clients as the world has them: most are honest, some break off anywhere.
//
//   soak PORT REQUESTS CONNECTIONS SEED
//
// Makes CONNECTIONS connections with about REQUESTS requests in all, 64 connections at a time, each a plan drawn from
// SEED: how many requests, some of them pipelined, some with a body, and how it ends (in order; with a reset; in the middle
// of a request; without reading an answer). Every answer that is waited for must be whole and right. One line of JSON tells
// the outcome. Every connection has one of 60,000 client addresses, so that ports in TIME_WAIT do not run out.
#include "limit.h"

enum { AT_ONCE = 64, MAX_FD = 4096, MOST_PIPELINED = 4 };
enum { IN_ORDER, RESET, HALF_REQUEST, UNREAD, ENDS };

typedef struct {
    int left;              // requests still to be sent
    int waiting;           // answers still to come
    int end;               // how it ends
    size_t expected[MOST_PIPELINED], have; // bytes of the bodies waited for; what is read of the first answer
    char input[1 << 12];
} Client;

static Client clients[MAX_FD];
static long requests, answers, made, ended[ENDS], wrong, lost;
static uint64_t state;

static uint32_t chance(uint32_t below) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 16) % below;
}

static int connect_from_anywhere(int port) {
    struct sockaddr_in from = loopback(0), to = loopback(port);
    from.sin_addr.s_addr = htonl(0x7F000000 | (1 + chance(250)) << 8 | (1 + chance(250)));
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0 || fd >= MAX_FD) die("socket");
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (void *)&from, sizeof from) || connect(fd, (void *)&to, sizeof to)) die("connect");
    no_delay(fd);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

// Sends some of the requests that are left, in one piece.
static int send_some(int fd) {
    Client *client = &clients[fd];
    char text[8192];
    size_t size = 0;
    int count = 1 + (chance(8) == 0 ? chance(MOST_PIPELINED) : 0);
    for (; count > 0 && client->left > 0; count--, client->left--) {
        uint32_t kind = chance(16);
        if (kind == 0) {
            size_t length = chance(1500);
            size += sprintf(text + size, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", length);
            memset(text + size, 'x', length);
            size += length;
            client->expected[client->waiting++] = length;
        } else {
            const char *path = kind == 1 ? "/sleep" : kind < 8 ? "/users/17" : "/";
            size += sprintf(text + size, "GET %s HTTP/1.1\r\nHost: a\r\nUser-Agent: soak\r\n\r\n", path);
            client->expected[client->waiting++] = 13;
        }
        requests++;
    }
    return send(fd, text, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void finish(int ep, int fd) {
    Client *client = &clients[fd];
    ended[client->end]++;
    if (client->end == HALF_REQUEST) {
        static const char *halves[] = {"GET / HT", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
                                       "GET / HTTP/1.1\r\nHos", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"};
        const char *half = halves[chance(4)];
        send(fd, half, strlen(half), MSG_NOSIGNAL);
    }
    if (client->end == RESET || (client->end == HALF_REQUEST && chance(2))) {
        struct linger at_once = {.l_onoff = 1};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    epoll_ctl(ep, EPOLL_CTL_DEL, fd, 0);
    close(fd);
}

// Takes the whole answers off the front of what has come. False: an answer is wrong.
static int take_answers(Client *client) {
    size_t used = 0;
    while (client->waiting > 0) {
        char *at = client->input + used, *blank = memmem(at, client->have - used, "\r\n\r\n", 4);
        if (!blank) break;
        size_t head = blank + 4 - at, whole = head + client->expected[0];
        char *length = strcasestr(at, "content-length: ");
        if (memcmp(at, "HTTP/1.1 200", 12) || !length || length > blank || (size_t)atol(length + 16) != client->expected[0])
            return 0;
        if (client->have - used < whole) break;
        used += whole;
        client->waiting--;
        memmove(client->expected, client->expected + 1, client->waiting * sizeof *client->expected);
        answers++;
    }
    client->have -= used;
    memmove(client->input, client->input + used, client->have);
    client->input[client->have] = 0;
    return 1;
}

static void start(int ep, int port, double mean) {
    int fd = connect_from_anywhere(port);
    Client *client = &clients[fd];
    client->left = 1 + chance((uint32_t)(2 * mean - 1));
    client->waiting = client->have = 0;
    uint32_t kind = chance(20);
    client->end = kind < 4 ? RESET : kind == 4 ? HALF_REQUEST : kind == 5 ? UNREAD : IN_ORDER;
    made++;
    watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP);
    if (!send_some(fd)) die("send");
}

// Whether the connection is over.
static int go_on(int ep, int fd) {
    Client *client = &clients[fd];
    ssize_t got = recv(fd, client->input + client->have, sizeof client->input - 1 - client->have, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) {
        lost++;
    } else {
        client->have += got;
        client->input[client->have] = 0;
        if (take_answers(client)) {
            if (client->waiting > 0) return 0;
            if (client->left > 0) {
                if (!send_some(fd)) die("send");
                if (client->left > 0 || client->end != UNREAD) return 0;
            }
        } else {
            wrong++;
            fprintf(stderr, "soak: a wrong answer: %.200s\n", client->input);
        }
    }
    finish(ep, fd);
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: soak PORT REQUESTS CONNECTIONS SEED\n");
        return 2;
    }
    raise_descriptor_limit();
    int port = atoi(argv[1]), ep = epoll_create1(0), open = 0;
    long connections = atol(argv[3]);
    double mean = atof(argv[2]) / connections, begin = now();
    state = 88172645463325252ull ^ strtoull(argv[4], 0, 10);
    struct epoll_event events[AT_ONCE];
    while (made < connections || open > 0) {
        for (; open < AT_ONCE && made < connections; open++) start(ep, port, mean);
        int ready = epoll_wait(ep, events, AT_ONCE, 10000);
        if (ready == 0) {
            fprintf(stderr, "soak: no answer for ten seconds\n");
            return 1;
        }
        for (int i = 0; i < ready; i++) open -= go_on(ep, events[i].data.fd);
    }
    printf("{\"connections\": %ld, \"requests\": %ld, \"answers\": %ld, \"in_order\": %ld, \"reset\": %ld, "
           "\"half_request\": %ld, \"unread\": %ld, \"wrong\": %ld, \"lost\": %ld, \"seconds\": %.1f}\n",
           made, requests, answers, ended[IN_ORDER], ended[RESET], ended[HALF_REQUEST], ended[UNREAD], wrong, lost,
           now() - begin);
    return wrong || lost;
}
