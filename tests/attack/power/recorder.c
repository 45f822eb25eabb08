// Records what a process does to the files below $RECORD_ROOT, in order, into $RECORD_LOG.
//
// Loaded before the C library (LD_PRELOAD), it passes each call on and then appends one record: a kind, the inode,
// an offset or size, and up to two texts (a path, the bytes written). `replay.py` reads them. What it cannot
// record is written as '?', so that no replay takes it for nothing.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int log_fd = -1;
static char root[PATH_MAX];

#define NEXT(name, result, ...)                                                                    \
    static result (*next)(__VA_ARGS__);                                                            \
    if (!next) next = dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("RECORD_LOG"), *below = getenv("RECORD_ROOT");
    if (!path || !below) return;
    snprintf(root, sizeof root, "%s/", below);
    NEXT(open, int, const char *, int, ...);
    log_fd = next(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_recorded(const char *path) {
    return log_fd >= 0 && strncmp(path, root, strlen(root)) == 0;
}

static void record(char kind, uint64_t inode, uint64_t at, const void *a, uint32_t n_a,
                   const void *b, uint32_t n_b) {
    struct __attribute__((packed)) {
        char kind;
        uint64_t inode, at;
        uint32_t n_a, n_b;
    } head = {kind, inode, at, n_a, n_b};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)a, n_a}, {(void *)b, n_b}};
    NEXT(writev, ssize_t, int, const struct iovec *, int);
    if (next(log_fd, parts, 3) < 0) abort();
}

static void record_path(char kind, uint64_t inode, const char *path) {
    record(kind, inode, 0, path, strlen(path), NULL, 0);
}

static int link_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n < 0 ? 0 : n] = 0;
    return n > 0;
}

static int is_recorded_fd(int fd) {
    char path[PATH_MAX];
    return log_fd >= 0 && fd != log_fd && link_of(fd, path) && is_recorded(path);
}

static uint64_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_ino;
}

static void absolute(int folder, const char *path, char *out) {
    char base[PATH_MAX] = "";
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return;
    }
    if (folder != AT_FDCWD) link_of(folder, base);
    else if (!getcwd(base, sizeof base)) abort();
    if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) abort();
}

static int opened(int folder, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    absolute(folder, path, whole);
    int is_new = is_recorded(whole) && access(whole, F_OK) != 0;
    NEXT(openat, int, int, const char *, int, ...);
    int fd = next(folder, path, flags, mode);
    if (fd < 0 || !is_recorded(whole)) return fd;
    if ((flags & O_CREAT) && is_new) record_path('C', inode_of(fd), whole);
    else if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY)
        record('T', inode_of(fd), 0, NULL, 0, NULL, 0);
    return fd;
}

#define WITH_MODE                                                                                  \
    mode_t mode = 0;                                                                               \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                                         \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, int);                                                                  \
        va_end(rest);                                                                              \
    }

int open(const char *path, int flags, ...) { WITH_MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) {
    WITH_MODE return opened(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    WITH_MODE return opened(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    WITH_MODE return opened(folder, path, flags, mode);
}

ssize_t write(int fd, const void *bytes, size_t n) {
    NEXT(write, ssize_t, int, const void *, size_t);
    int is_here = is_recorded_fd(fd);
    int at_end = is_here && (fcntl(fd, F_GETFL) & O_APPEND);
    uint64_t at = is_here ? (uint64_t)lseek(fd, 0, at_end ? SEEK_END : SEEK_CUR) : 0;
    ssize_t done = next(fd, bytes, n);
    if (is_here && done > 0) record('W', inode_of(fd), at, bytes, done, NULL, 0);
    return done;
}

#define PWRITE(name, offset)                                                                       \
    ssize_t name(int fd, const void *bytes, size_t n, offset at) {                                 \
        NEXT(name, ssize_t, int, const void *, size_t, offset);                                    \
        ssize_t done = next(fd, bytes, n, at);                                                     \
        if (done > 0 && is_recorded_fd(fd)) record('W', inode_of(fd), at, bytes, done, NULL, 0);   \
        return done;                                                                               \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, offset)                                                                     \
    int name(int fd, offset size) {                                                                \
        NEXT(name, int, int, offset);                                                              \
        int failed = next(fd, size);                                                               \
        if (!failed && is_recorded_fd(fd)) record('T', inode_of(fd), size, NULL, 0, NULL, 0);      \
        return failed;                                                                             \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                                                                 \
    int name(int fd) {                                                                             \
        NEXT(name, int, int);                                                                      \
        int failed = next(fd);                                                                     \
        char path[PATH_MAX];                                                                       \
        struct stat found;                                                                         \
        if (failed || !link_of(fd, path) || fstat(fd, &found)) return failed;                      \
        strncat(path, "/", PATH_MAX - strlen(path) - 1); /* the root itself counts, too */         \
        if (!is_recorded(path)) return failed;                                                     \
        path[strlen(path) - 1] = 0;                                                                \
        record_path(S_ISDIR(found.st_mode) ? 'D' : 'S', found.st_ino, path);                       \
        return failed;                                                                             \
    }
SYNC(fsync)
SYNC(fdatasync)

int renameat(int from, const char *old, int to, const char *new) {
    NEXT(renameat, int, int, const char *, int, const char *);
    char source[PATH_MAX], target[PATH_MAX];
    absolute(from, old, source);
    absolute(to, new, target);
    int failed = next(from, old, to, new);
    if (!failed && (is_recorded(source) || is_recorded(target)))
        record('R', 0, 0, source, strlen(source), target, strlen(target));
    return failed;
}
int rename(const char *old, const char *new) { return renameat(AT_FDCWD, old, AT_FDCWD, new); }

int unlinkat(int folder, const char *path, int flags) {
    NEXT(unlinkat, int, int, const char *, int);
    char whole[PATH_MAX];
    absolute(folder, path, whole);
    int failed = next(folder, path, flags);
    if (!failed && is_recorded(whole)) record_path('U', 0, whole);
    return failed;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *path, mode_t mode) {
    NEXT(mkdirat, int, int, const char *, mode_t);
    char whole[PATH_MAX];
    absolute(folder, path, whole);
    int failed = next(folder, path, mode);
    if (!failed && is_recorded(whole)) record_path('M', 0, whole);
    return failed;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

// What is not recorded is said.
ssize_t writev(int fd, const struct iovec *parts, int n) {
    NEXT(writev, ssize_t, int, const struct iovec *, int);
    if (is_recorded_fd(fd)) record_path('?', 0, "writev");
    return next(fd, parts, n);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t n) {
    NEXT(sendfile64, ssize_t, int, int, off64_t *, size_t);
    if (is_recorded_fd(to)) record_path('?', 0, "sendfile");
    return next(to, from, at, n);
}
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t n, unsigned flags) {
    NEXT(copy_file_range, ssize_t, int, off64_t *, int, off64_t *, size_t, unsigned);
    if (is_recorded_fd(to)) record_path('?', 0, "copy_file_range");
    return next(from, a, to, b, n, flags);
}
