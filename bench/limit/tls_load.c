// The load over TLS: messages there and back on a fixed set of connections, by the rules of load.h.
//
//   tls_load PORT CONNECTIONS SECONDS RATE echo SIZE [1.3|1.2]
//   tls_load PORT CONNECTIONS SECONDS RATE http FILE [1.3|1.2]
//
// FILE has the bytes of one whole request. The first answer says how long all of them are.
#include "load.h"
#include "tls.h"

static SSL *sessions[MAX_FD];
static char *message, plain[1 << 14];
static size_t message_size, answer_size;

static void start(int fd) {
    if (SSL_write(sessions[fd], message, message_size) != (int)message_size) tls_die("SSL_write");
    if (!tls_flush(fd)) die("send");
}

static int receive(int fd) {
    ssize_t size = tls_receive(fd);
    if (size < 0 && errno == EAGAIN) return 0;
    if (size <= 0) {
        fprintf(stderr, "tls_load: the server has closed a connection\n");
        exit(1);
    }
    int got;
    while ((got = SSL_read(sessions[fd], plain, sizeof plain - 1)) > 0) {
        if (!answer_size) {
            plain[got] = 0;
            char *blank = strstr(plain, "\r\n\r\n"), *length = strcasestr(plain, "content-length:");
            if (!blank || !length) {
                fprintf(stderr, "tls_load: no answer with a content-length\n");
                exit(1);
            }
            answer_size = blank + 4 - plain + atol(length + 15);
        }
        exchanges[fd].got += got;
    }
    if (SSL_get_error(sessions[fd], got) != SSL_ERROR_WANT_READ) tls_die("SSL_read");
    return exchanges[fd].due != 0 && exchanges[fd].got >= answer_size; // a session ticket is no answer
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    message = malloc(1 << 14);
    message_size = fread(message, 1, 1 << 14, file);
    fclose(file);
}

int main(int argc, char **argv) {
    if (argc < 7 || (strcmp(argv[5], "echo") && strcmp(argv[5], "http"))) {
        fprintf(stderr, "usage: tls_load PORT CONNECTIONS SECONDS RATE echo SIZE [1.3|1.2]\n"
                        "       tls_load PORT CONNECTIONS SECONDS RATE http FILE [1.3|1.2]\n");
        return 2;
    }
    raise_descriptor_limit();
    int connections = atoi(argv[2]), *fds = calloc(connections, sizeof *fds);
    SSL_CTX *context = tls_client(argc > 7 ? argv[7] : "1.3");
    if (!strcmp(argv[5], "http")) {
        read_request(argv[6]);
    } else {
        answer_size = message_size = atol(argv[6]);
        message = memset(malloc(message_size), 'x', message_size);
    }
    for (int i = 0; i < connections; i++) {
        fds[i] = connect_to(atoi(argv[1]));
        sessions[fds[i]] = tls_connect(context, fds[i]);
        tls_use_buffers(sessions[fds[i]]);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    report(keep_to_schedule(fds, connections, atof(argv[3]), atof(argv[4]), start, receive), "");
    return 0;
}
