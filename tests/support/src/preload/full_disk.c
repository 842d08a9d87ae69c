// Fails writes with ENOSPC that would make a file longer, while the marker file exists: those of SQLite's files
// whose paths contain FULL_DISK_FILES. Writes within a file succeed, as on a real full disk.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_full(int fd, off_t end) {
    const char *marker = getenv("FULL_DISK_MARKER"), *files = getenv("FULL_DISK_FILES");
    if (!marker || !files || access(marker, F_OK) != 0) return 0;
    struct stat file;
    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || end <= file.st_size) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, files) != NULL;
}

#define REFUSE_IF_FULL(end) do { \
    int kept = errno; \
    if (is_full(fd, end)) { errno = ENOSPC; return -1; } \
    errno = kept; \
} while (0)

ssize_t write(int fd, const void *bytes, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    REFUSE_IF_FULL(lseek(fd, 0, SEEK_CUR) + (off_t)count);
    return real(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
    REFUSE_IF_FULL(offset + (off_t)count);
    return real(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    REFUSE_IF_FULL(offset + (off_t)count);
    return real(fd, bytes, count, offset);
}
