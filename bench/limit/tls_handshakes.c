// Connections over TLS, one after the other on each of some places: connect, handshake, one exchange, close.
//
//   tls_handshakes PORT AT_ONCE SECONDS full|resumed echo|http [1.3|1.2]
//
// `full` offers no session and fails if one was resumed all the same; `resumed` offers on each place the session that
// the connection before it got, and fails if the server refuses it. The latency is that of connect and handshake.
// What goes wrong ends the run: a figure with failures in it is none.
#include "load.h"
#include "tls.h"

typedef struct {
    int fd, is_offering, is_asked;
    double begun;
    SSL *ssl;
    SSL_SESSION *session; // for the next connection
} Place;

static SSL_CTX *context;
static const char *request;
static int is_resuming, port, ep;
static long resumed;

static int keep_session(SSL *ssl, SSL_SESSION *session) {
    Place *place = SSL_get_app_data(ssl);
    if (!is_resuming) return 0;
    SSL_SESSION_free(place->session);
    place->session = session;
    return 1; // the reference is ours
}

static void fail(const char *what) {
    fprintf(stderr, "tls_handshakes: ");
    tls_die(what);
}

// Opens the next connection of a place.
static void begin(Place *place) {
    place->begun = now();
    place->is_offering = place->session != 0;
    place->is_asked = 0;
    place->fd = connect_to(port);
    if (!(place->ssl = SSL_new(context)) || !SSL_set_fd(place->ssl, place->fd)) tls_die("SSL_new");
    SSL_set_app_data(place->ssl, place);
    SSL_set_connect_state(place->ssl);
    if (place->is_offering && !SSL_set_session(place->ssl, place->session)) tls_die("SSL_set_session");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = place};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, place->fd, &e)) die("epoll_ctl");
}

static void note(Place *place) {
    int is_resumed = SSL_session_reused(place->ssl);
    if (is_resumed && !place->is_offering) fail("the server has resumed a session that was not offered");
    if (!is_resumed && place->is_offering) fail("the server has refused to resume a session");
    resumed += is_resumed;
    record(now() - place->begun);
}

// Goes as far as it can without waiting; true when the answer is there.
static int proceed(Place *place) {
    char answer[1024];
    int done = 1;
    if (!place->is_asked && (done = SSL_do_handshake(place->ssl)) == 1) {
        note(place);
        if (SSL_write(place->ssl, request, strlen(request)) <= 0) fail("a request could not be sent");
        place->is_asked = 1;
    }
    if (place->is_asked && (done = SSL_read(place->ssl, answer, sizeof answer)) > 0) return 1;
    if (SSL_get_error(place->ssl, done) != SSL_ERROR_WANT_READ) fail("a connection failed");
    return 0;
}

static void end(Place *place) {
    SSL_shutdown(place->ssl);
    SSL_free(place->ssl);
    close(place->fd);
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: tls_handshakes PORT AT_ONCE SECONDS full|resumed echo|http [1.3|1.2]\n");
        return 2;
    }
    int at_once = atoi(argv[2]);
    Place *places = calloc(at_once, sizeof *places);
    struct epoll_event events[512];
    char more[64];
    signal(SIGPIPE, SIG_IGN);
    port = atoi(argv[1]);
    is_resuming = !strcmp(argv[4], "resumed");
    request = strcmp(argv[5], "http") ? "x" : "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    ep = epoll_create1(0);
    context = tls_client(argc > 6 ? argv[6] : "1.3");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    double started = now(), last = started + atof(argv[3]);
    for (int i = 0; i < at_once; i++) {
        begin(&places[i]);
        proceed(&places[i]);
    }
    while (now() < last) {
        int count = epoll_wait(ep, events, 512, 100);
        for (int i = 0; i < count; i++) {
            Place *place = events[i].data.ptr;
            if (!proceed(place)) continue;
            end(place);
            begin(place);
            proceed(place);
        }
    }
    snprintf(more, sizeof more, ", \"resumed\": %ld", resumed);
    report(now() - started, more);
    return 0;
}
