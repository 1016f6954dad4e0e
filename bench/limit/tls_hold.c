// hold.c over TLS: each connection has done its handshake and one exchange. The sessions are forgotten here and the
// sockets stay open: what is measured is the server's.
//
//   tls_hold PORT COUNT echo|http
#include "limit.h"
#include "tls.h"

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: tls_hold PORT COUNT echo|http\n");
        return 2;
    }
    raise_descriptor_limit();
    SSL_CTX *context = tls_client("1.3");
    const char *request = strcmp(argv[3], "http") ? "x" : "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int count = atoi(argv[2]), size = strlen(request);
    char answer[1024], byte;
    for (int i = 0; i < count; i++) {
        SSL *ssl = tls_connect(context, connect_to(atoi(argv[1])));
        if (SSL_write(ssl, request, size) != size || SSL_read(ssl, answer, sizeof answer) <= 0) tls_die("exchange");
        SSL_free(ssl);
    }
    printf("held %d\n", count);
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
    }
    return 0;
}
