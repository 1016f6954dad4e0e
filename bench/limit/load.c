// The load: messages there and back on a fixed set of connections, as fast as they go or at a fixed rate.
//
//   load PORT CONNECTIONS SECONDS RATE echo SIZE
//   load PORT CONNECTIONS SECONDS RATE lines SIZE
//   load PORT CONNECTIONS SECONDS RATE http [minimal|browser]
//
// RATE 0 keeps one message under way on each connection all the time. Otherwise messages start on a schedule, RATE
// in a second over all connections, and a latency is counted from the scheduled time: a server that stalls is
// charged for every message that should have been sent meanwhile. One line of JSON tells the outcome.
#include "limit.h"

enum { MAX_FD = 1 << 17, BUCKETS = 64 * 32 };

typedef struct {
    double due;  // when the message under way should have started; 0 if there is none
    size_t got;
} Connection;

static Connection state[MAX_FD];
static char input[1 << 18], *message;
static size_t message_size, answer_size;
static long histogram[BUCKETS], answered, late;
static double longest;

// 32 buckets for each doubling, in nanoseconds: three per cent.
static int bucket(double seconds) {
    uint64_t ns = seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
    if (ns < 32) return (int)ns;
    int top = 63 - __builtin_clzll(ns);
    return (top - 4) * 32 + (int)((ns >> (top - 5)) & 31);
}

static double bucket_us(int index) {
    if (index < 32) return index / 1e3;
    return (double)((32ull + index % 32) << (index / 32 - 1)) / 1e3;
}

static double percentile(double share) {
    long left = (long)(answered * share);
    for (int i = 0; i < BUCKETS; i++)
        if ((left -= histogram[i]) < 0) return bucket_us(i);
    return longest * 1e6;
}

static void start(int fd, double due) {
    state[fd].due = due;
    if (send(fd, message, message_size, MSG_NOSIGNAL) != (ssize_t)message_size) die("send");
}

static void finish(int fd, double at) {
    double took = at - state[fd].due;
    state[fd].due = 0;
    state[fd].got = 0;
    histogram[bucket(took)]++;
    if (took > longest) longest = took;
    answered++;
}

// Reads what is there; 1 if the answer is whole.
static int receive(int fd) {
    ssize_t got = recv(fd, input, sizeof input, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) {
        fprintf(stderr, "load: the server has closed a connection\n");
        exit(1);
    }
    if (!answer_size) {
        // The first answer says how long all of them are.
        char *blank = memmem(input, got, "\r\n\r\n", 4), *length = strcasestr(input, "content-length:");
        if (!blank || !length) {
            fprintf(stderr, "load: no answer with a content-length\n");
            exit(1);
        }
        answer_size = blank + 4 - input + atol(length + 15);
    }
    state[fd].got += got;
    return state[fd].got >= answer_size;
}

static void make_request(int port, int is_browser) {
    static char text[2048];
    const char *fields = is_browser ? "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
                                      "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
                                      "Accept-Language: en-US,en;q=0.5\r\n"
                                      "Accept-Encoding: gzip, deflate, br, zstd\r\n"
                                      "Connection: keep-alive\r\n"
                                      "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
                                      "Upgrade-Insecure-Requests: 1\r\n"
                                    : "";
    message_size = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\n", port, fields);
    message = text;
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS RATE echo SIZE\n"
                        "       load PORT CONNECTIONS SECONDS RATE lines SIZE\n"
                        "       load PORT CONNECTIONS SECONDS RATE http [minimal|browser]\n");
        return 2;
    }
    raise_descriptor_limit();
    int port = atoi(argv[1]), connections = atoi(argv[2]), ep = epoll_create1(0), idle = 0;
    double seconds = atof(argv[3]), rate = atof(argv[4]);
    if (!strcmp(argv[5], "echo") || !strcmp(argv[5], "lines")) {
        answer_size = message_size = argc > 6 ? atol(argv[6]) : 1024;
        message = memset(malloc(message_size), 'x', message_size);
        if (!strcmp(argv[5], "lines")) message[message_size - 1] = '\n';
    } else {
        make_request(port, argc > 6 && !strcmp(argv[6], "browser"));
    }
    int *fds = calloc(connections, sizeof *fds);
    struct epoll_event events[512];
    for (int i = 0; i < connections; i++) {
        fds[i] = connect_to(port);
        watch(ep, EPOLL_CTL_ADD, fds[i], EPOLLIN);
    }
    double begin = now(), end = begin + seconds, at = begin;
    long scheduled = 0;
    if (rate == 0)
        for (int i = 0; i < connections; i++) start(fds[i], begin);
    while (at < end) {
        // What is due starts on the next connection that is free; what finds none is late and starts when one is.
        while (rate > 0 && begin + scheduled / rate <= at) {
            int tried = 0;
            while (tried < connections && state[fds[idle]].due != 0) {
                idle = (idle + 1) % connections;
                tried++;
            }
            if (tried == connections) {
                late++;
                break;
            }
            start(fds[idle], begin + scheduled++ / rate);
        }
        struct timespec wait = {0, 0};
        double next = rate > 0 ? begin + scheduled / rate - at : 0.1;
        if (next > 0) wait.tv_nsec = next < 0.1 ? (long)(next * 1e9) : 100000000;
        int count = epoll_pwait2(ep, events, 512, &wait, 0);
        at = now();
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (!receive(fd)) continue;
            finish(fd, at);
            if (rate == 0) start(fd, at);
        }
    }
    printf("{\"answered\": %ld, \"seconds\": %.6f, \"rate\": %.1f, \"late\": %ld, \"p50_us\": %.1f, \"p90_us\": %.1f, "
           "\"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
           answered, at - begin, answered / (at - begin), late, percentile(0.5), percentile(0.9), percentile(0.99),
           percentile(0.999), longest * 1e6);
    return 0;
}
