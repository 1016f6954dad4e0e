// The limit of the waiting scenario: N requests at once, one new connection each, on one epoll set with
// nothing in between. At most PACE of them are connecting at any moment: a burst larger than the listen
// backlog loses SYNs and waits a second for each. Prints one line of JSON.
#include "common.h"

static const char REQUEST[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
static const char STATUS[] = "HTTP/1.1 200 ";
static const char BODY[] = "Hello, World!";
enum { EVENTS = 512, LARGEST = 4096, STUCK_MS = 30000 };
enum verdict { UNFINISHED, RIGHT, WRONG };

// An answer of which only the first bytes are there; hardly any ever is, so one costs memory only then.
struct part { size_t size; char bytes[LARGEST]; };
static struct part **parts;
static int ep, answered, failed, connecting;

static enum verdict judge(const char *bytes, size_t size) {
    const char *end = memmem(bytes, size, "\r\n\r\n", 4);
    if (!end) return size < LARGEST ? UNFINISHED : WRONG;
    if (strncmp(bytes, STATUS, sizeof STATUS - 1)) return WRONG;
    const char *length = strcasestr(bytes, "\r\nContent-Length:");
    if (!length || length > end || atoi(length + 17) != sizeof BODY - 1) return WRONG;
    size_t body = size - (end + 4 - bytes);
    if (body < sizeof BODY - 1) return UNFINISHED;
    return body == sizeof BODY - 1 && !memcmp(end + 4, BODY, body) ? RIGHT : WRONG;
}

static void finish(int fd, enum verdict verdict) {
    if (verdict == RIGHT) answered++; else failed++;
    free(parts[fd]);
    parts[fd] = NULL;
    close(fd);
}

static void start(const struct sockaddr_in *to) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) die("socket");
    no_delay(fd);
    if (connect(fd, (const void *)to, sizeof *to) && errno != EINPROGRESS) { finish(fd, WRONG); return; }
    watch(ep, EPOLL_CTL_ADD, fd, EPOLLOUT);
    connecting++;
}

static void ask(int fd, unsigned events) {
    connecting--;
    if (events & (EPOLLERR | EPOLLHUP) ||
        send(fd, REQUEST, sizeof REQUEST - 1, MSG_NOSIGNAL) != sizeof REQUEST - 1) finish(fd, WRONG);
    else watch(ep, EPOLL_CTL_MOD, fd, EPOLLIN);
}

static void take(int fd) {
    static struct part whole;
    struct part *to = parts[fd] ? parts[fd] : &whole;
    if (to == &whole) to->size = 0;
    ssize_t got = read(fd, to->bytes + to->size, LARGEST - 1 - to->size);
    if (got <= 0) { finish(fd, WRONG); return; }
    to->size += got;
    to->bytes[to->size] = 0;
    enum verdict verdict = judge(to->bytes, to->size);
    if (verdict == UNFINISHED && to->size == LARGEST - 1) verdict = WRONG;
    if (verdict != UNFINISHED) finish(fd, verdict);
    else if (to == &whole) {
        if (!(parts[fd] = malloc(sizeof whole))) die("malloc");
        *parts[fd] = whole;
    }
}

static void fetch(const struct sockaddr_in *to, int n, int pace) {
    static struct epoll_event ev[EVENTS];
    int started = 0;
    answered = failed = connecting = 0;
    while (answered + failed < n) {
        for (; started < n && connecting < pace; started++) start(to);
        int k = epoll_wait(ep, ev, EVENTS, STUCK_MS);
        if (k < 0 && errno != EINTR) die("epoll_wait");
        if (k == 0) { fprintf(stderr, "nothing came for %d s\n", STUCK_MS / 1000); exit(1); }
        for (int i = 0; i < k; i++) {
            // Only a connection that has not asked yet waits for EPOLLOUT.
            if (ev[i].events & EPOLLOUT) ask(ev[i].data.fd, ev[i].events);
            else take(ev[i].data.fd);
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 4) { fprintf(stderr, "usage: fetch PORT N PACE\n"); return 2; }
    struct sockaddr_in to = loopback(atoi(argv[1]));
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    if (!(parts = calloc(files.rlim_cur, sizeof *parts))) die("calloc");
    if ((ep = epoll_create1(0)) < 0) die("epoll_create1");
    fetch(&to, 1, 1);
    long rss = memory("VmRSS"), vm = memory("VmSize");
    double cpu_before = cpu(), before = now();
    fetch(&to, atoi(argv[2]), atoi(argv[3]));
    double wall = now() - before, used = cpu() - cpu_before;
    printf("{\"answered\": %d, \"failed\": %d, \"wall_s\": %.6f, \"cpu_s\": %.6f, "
           "\"rss_growth_bytes\": %ld, \"vm_growth_bytes\": %ld}\n",
           answered, failed, wall, used, memory("VmHWM") - rss, memory("VmPeak") - vm);
    return 0;
}
