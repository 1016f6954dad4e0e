// Shared by the TLS programs, on OpenSSL: the two contexts, and a BIO that knows no socket. Its bytes come from one
// buffer that recv has filled and go to one that send empties: one system call each way, however many records there
// are. Socket BIOs were measured beside it and need more CPU (1 KB: 1.06 times as much; 64 KB: 1.0 to 1.1).
#include <openssl/err.h>
#include <openssl/ssl.h>

static char tls_input[1 << 18], tls_output[1 << 20];
static char *tls_at, *tls_end; // what is not yet read of the input
static size_t tls_ready;       // bytes of the output

static inline void tls_die(const char *what) {
    fprintf(stderr, "%s: ", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static inline int tls_take(BIO *bio, char *to, int size) {
    BIO_clear_retry_flags(bio);
    if (tls_at == tls_end) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (size > tls_end - tls_at) size = tls_end - tls_at;
    memcpy(to, tls_at, size);
    tls_at += size;
    return size;
}

static inline int tls_put(BIO *bio, const char *from, int size) {
    BIO_clear_retry_flags(bio);
    if (tls_ready + size > sizeof tls_output) return -1;
    memcpy(tls_output + tls_ready, from, size);
    tls_ready += size;
    return size;
}

static inline long tls_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH; // the only one that libssl needs
}

// Has no state of its own, so all connections share it.
static inline void tls_use_buffers(SSL *ssl) {
    static BIO *bio;
    if (!bio) {
        BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buffers");
        if (!method || !(bio = BIO_new(method))) tls_die("BIO_new");
        BIO_meth_set_read(method, tls_take);
        BIO_meth_set_write(method, tls_put);
        BIO_meth_set_ctrl(method, tls_control);
        BIO_set_init(bio, 1);
    }
    BIO_up_ref(bio);
    SSL_set_bio(ssl, bio, bio); // takes one reference for both ways
}

// Takes what the socket has; its size, or as recv says.
static inline ssize_t tls_receive(int fd) {
    ssize_t got = recv(fd, tls_input, sizeof tls_input, 0);
    tls_at = tls_input;
    tls_end = tls_input + (got > 0 ? got : 0);
    return got;
}

// Sends all output. Whoever has sent waits for an answer, so the socket has room for it: false is an error.
static inline int tls_flush(int fd) {
    size_t size = tls_ready;
    tls_ready = 0;
    return !size || send(fd, tls_output, size, MSG_NOSIGNAL) == (ssize_t)size;
}

// A client that offers one version and one bulk cipher and prefers one group, so that every server does the same
// work. (P-256 is there for certificates on that curve: TLS 1.2 asks the same list.) It does not verify the chain,
// which is work of the client alone.
static inline SSL_CTX *tls_client(const char *version) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    int number = strcmp(version, "1.2") ? TLS1_3_VERSION : TLS1_2_VERSION;
    if (!context || !SSL_CTX_set_min_proto_version(context, number) || !SSL_CTX_set_max_proto_version(context, number) ||
        !SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") ||
        !SSL_CTX_set_cipher_list(context, "ECDHE+AES128+AESGCM") || !SSL_CTX_set1_groups_list(context, "X25519:P-256"))
        tls_die("the client's settings");
    return context;
}

// A server that is lean: buffers only while they hold something, tickets in place of a session cache.
static inline SSL_CTX *tls_server(const char *certificate, const char *key) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION)) tls_die("the server's settings");
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1) tls_die(certificate);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) tls_die(key);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return context;
}

// A connection whose handshake is done, over the blocking socket.
static inline SSL *tls_connect(SSL_CTX *context, int fd) {
    SSL *ssl = SSL_new(context);
    fcntl(fd, F_SETFL, 0);
    if (!ssl || !SSL_set_fd(ssl, fd) || SSL_connect(ssl) != 1) tls_die("SSL_connect");
    return ssl;
}
