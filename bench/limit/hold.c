// Opens connections, says so, and holds them until standard input ends.
#include "limit.h"

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: hold PORT COUNT\n");
        return 2;
    }
    raise_descriptor_limit();
    int count = atoi(argv[2]);
    char byte;
    for (int i = 0; i < count; i++) connect_to(atoi(argv[1]));
    printf("held %d\n", count);
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
    }
    return 0;
}
