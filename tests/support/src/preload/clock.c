// Reads the clock's offset at each question for the time: the working directory is the server's folder.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(tv, tz);
    char text[32] = {0};
    int file = open("clock-offset", O_RDONLY);
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) > 0) tv->tv_sec += atol(text);
        close(file);
    }
    return result;
}
