// Shared by the loads: the schedule by which messages start, and the latencies that come of it.
#include "limit.h"

enum { MAX_FD = 1 << 17, BUCKETS = 64 * 32 };

typedef struct {
    double due; // when the message under way should have started; 0 if there is none
    size_t got; // bytes of the answer so far
} Exchange;

static Exchange exchanges[MAX_FD]; // by descriptor
static long histogram[BUCKETS], answered, late;
static double longest;

// 32 buckets for each doubling, in nanoseconds: three per cent.
static inline int bucket(double seconds) {
    uint64_t ns = seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
    if (ns < 32) return (int)ns;
    int top = 63 - __builtin_clzll(ns);
    return (top - 4) * 32 + (int)((ns >> (top - 5)) & 31);
}

static inline double bucket_us(int index) {
    if (index < 32) return index / 1e3;
    return (double)((32ull + index % 32) << (index / 32 - 1)) / 1e3;
}

static inline void record(double took) {
    histogram[bucket(took)]++;
    if (took > longest) longest = took;
    answered++;
}

static inline double percentile(double share) {
    long left = (long)(answered * share);
    for (int i = 0; i < BUCKETS; i++)
        if ((left -= histogram[i]) < 0) return bucket_us(i);
    return longest * 1e6;
}

// Whoever measures the server looks at it twice: when all connections are open and when the last answer is there. Each
// time the load waits for a byte or the end of standard input; a person at a terminal need not give one.
static inline void wait_for_reader(void) {
    char byte;
    fflush(stdout);
    if (!isatty(0) && read(0, &byte, 1) < 0) die("standard input");
}

static inline void say_ready(void) {
    printf("ready\n");
    wait_for_reader();
}

// One line of JSON, which a program may go on with `more`.
static inline void report(double seconds, const char *more) {
    printf("{\"answered\": %ld, \"seconds\": %.6f, \"rate\": %.1f, \"late\": %ld, \"p50_us\": %.1f, \"p90_us\": %.1f, "
           "\"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f%s}\n",
           answered, seconds, answered / seconds, late, percentile(0.5), percentile(0.9), percentile(0.99),
           percentile(0.999), longest * 1e6, more);
    wait_for_reader();
}

// Keeps to the schedule for some seconds; returns how many they were. `start` sends a message for a descriptor,
// `receive` reads what is there and is true when the answer is whole. Rate 0 keeps one message under way on each
// descriptor all the time. Otherwise messages start RATE in a second over all of them, and a latency is counted from
// the scheduled time: a server that stalls is charged for every message that should have been sent meanwhile.
static inline double keep_to_schedule(const int *fds, int count, double seconds, double rate, void (*start)(int),
                                      int (*receive)(int)) {
    struct epoll_event events[512];
    int ep = epoll_create1(0), idle = 0;
    for (int i = 0; i < count; i++) watch(ep, EPOLL_CTL_ADD, fds[i], EPOLLIN);
    say_ready();
    double begin = now(), end = begin + seconds, at = begin;
    long scheduled = 0;
    for (int i = 0; rate == 0 && i < count; i++) {
        exchanges[fds[i]].due = begin;
        start(fds[i]);
    }
    while (at < end) {
        // What is due starts on the next descriptor that is free; what finds none is late and starts when one is.
        while (rate > 0 && begin + scheduled / rate <= at) {
            int tried = 0;
            while (tried < count && exchanges[fds[idle]].due != 0) {
                idle = (idle + 1) % count;
                tried++;
            }
            if (tried == count) {
                late++;
                break;
            }
            exchanges[fds[idle]].due = begin + scheduled++ / rate;
            start(fds[idle]);
        }
        struct timespec wait = {0, 0};
        double next = rate > 0 ? begin + scheduled / rate - at : 0.1;
        if (next > 0) wait.tv_nsec = next < 0.1 ? (long)(next * 1e9) : 100000000;
        int ready = epoll_pwait2(ep, events, 512, &wait, 0);
        at = now();
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (!receive(fd)) continue;
            record(at - exchanges[fd].due);
            exchanges[fd] = (Exchange){.due = rate == 0 ? at : 0};
            if (rate == 0) start(fd);
        }
    }
    return at - begin;
}
