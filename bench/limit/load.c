// The load: messages there and back on a fixed set of connections, as fast as they go or at a fixed rate.
//
//   load PORT CONNECTIONS SECONDS RATE echo SIZE
//   load PORT CONNECTIONS SECONDS RATE lines SIZE
//   load PORT CONNECTIONS SECONDS RATE http [minimal|browser|FILE]
//
// FILE has the bytes of one whole request.
//
// RATE is of messages in a second over all connections, 0 for as fast as they go; load.h has the rules. One line of
// JSON tells the outcome.
#include "load.h"

static char input[1 << 18], *message;
static size_t message_size, answer_size;

static void start(int fd) {
    if (send(fd, message, message_size, MSG_NOSIGNAL) != (ssize_t)message_size) die("send");
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
    exchanges[fd].got += got;
    return exchanges[fd].got >= answer_size;
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

// A request as a file has it.
static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    message = malloc(sizeof input);
    message_size = fread(message, 1, sizeof input, file);
    fclose(file);
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS RATE echo SIZE\n"
                        "       load PORT CONNECTIONS SECONDS RATE lines SIZE\n"
                        "       load PORT CONNECTIONS SECONDS RATE http [minimal|browser|FILE]\n");
        return 2;
    }
    raise_descriptor_limit();
    int port = atoi(argv[1]), connections = atoi(argv[2]);
    if (!strcmp(argv[5], "echo") || !strcmp(argv[5], "lines")) {
        answer_size = message_size = argc > 6 ? atol(argv[6]) : 1024;
        message = memset(malloc(message_size), 'x', message_size);
        if (!strcmp(argv[5], "lines")) message[message_size - 1] = '\n';
    } else if (argc > 6 && strcmp(argv[6], "minimal") && strcmp(argv[6], "browser")) {
        read_request(argv[6]);
    } else {
        make_request(port, argc > 6 && !strcmp(argv[6], "browser"));
    }
    int *fds = calloc(connections, sizeof *fds);
    for (int i = 0; i < connections; i++) fds[i] = connect_to(port);
    report(keep_to_schedule(fds, connections, atof(argv[3]), atof(argv[4]), start, receive), "");
    return 0;
}
