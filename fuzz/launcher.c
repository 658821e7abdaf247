/*
 * Gives bytes to the launcher, as command line (FUZZ_WORDS), as the wrapper's data (FUZZ_DATA) or as config.json.
 *
 * Files are in memory: the data at /data, config.json in /b, and sources of the data where their path says so. Whatever
 * lies behind the bytes that were read from a file must not be touched, and execv ends a call. The first letter of a
 * command line says which programs can't be started, as in launcher/testing/driver.c; that of the data whether the
 * checksum is made right.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sanitizer/asan_interface.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int fuzz_open(const char *path, int flags, ...);
static int fuzz_fstat(int fd, struct stat *status);
static int fuzz_lstat(const char *path, struct stat *status);
static ssize_t fuzz_read(int fd, void *into, size_t size);
static int fuzz_execv(const char *path, char *const argv[]);

#define main launcher_main
#define open fuzz_open
#define fstat fuzz_fstat
#define lstat fuzz_lstat
#define stat(path, status) (errno = ENOENT, -1)
#define read fuzz_read
#define close(fd) ((void)(fd))
#define dprintf(fd, ...) ((void)(fd))
#define poll(descriptors, count, wait) 0
#define signal(number, action) ((void)(number))
#define getenv(name) NULL
#define execv fuzz_execv
#ifndef LAUNCHER
#define LAUNCHER "../launcher/launcher.c"
#endif
#include LAUNCHER
#undef main
#undef stat
#undef read

enum { DATA_FD = 100, CONFIG_FD, NO_RUNTIME = 1, NO_PYTHON = 2 };

static const char plain_config[] = "{\"process\":{\"args\":[\"sh\"]}}";
static char *const plain_create[] = {"wrapper", "create", "--bundle", "/b", "id", NULL};

/* *into*: where it was read to. */
static struct file { const char *bytes; size_t size, at; char *into; } files[2];
static char made[1 << 16];
static jmp_buf started;
static char *const *given;
static unsigned failing;

static void check(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

static int fuzz_open(const char *path, int flags, ...) {
    int fd = strcmp(path, "/data") == 0 ? DATA_FD : strcmp(path, "/b/config.json") == 0 ? CONFIG_FD : -1;
    if (flags & O_CREAT || fd < 0) return -1;
    files[fd - DATA_FD].at = 0;
    return fd;
}

static int fuzz_fstat(int fd, struct stat *status) {
    memset(status, 0, sizeof *status);
    status->st_mode = S_IFREG | 0600;
    status->st_uid = geteuid();
    return fd < DATA_FD ? -1 : 0;
}

/* A source is there, with the numbers 1 to 8 for what is compared, if its path begins with /there. */
static int fuzz_lstat(const char *path, struct stat *status) {
    errno = ENOENT;
    if (strncmp(path, "/there", 6) != 0) return -1;
    memset(status, 0, sizeof *status);
    status->st_dev = 1, status->st_ino = 2, status->st_mode = 3, status->st_uid = 4, status->st_gid = 5;
    status->st_size = 6, status->st_mtim.tv_nsec = 7, status->st_ctim.tv_nsec = 8;
    return 0;
}

/* In pieces, since nobody promises more. */
static ssize_t fuzz_read(int fd, void *into, size_t size) {
    struct file *file = &files[fd - DATA_FD];
    size_t left = file->size - file->at, got = left < size ? left : size;
    if (got > 1000) got = 1000;
    ASAN_UNPOISON_MEMORY_REGION(into, got);
    memcpy(into, file->bytes + file->at, got);
    if (!file->at) file->into = into;
    file->at += got;
    return (ssize_t)got;
}

static int fuzz_execv(const char *path, char *const argv[]) {
    int runtime = path == settings[RUNTIME], first = runtime ? 1 : 4, i = 1;
    check(runtime || path == settings[PYTHON], "an unknown program was started");
    for (; given[i]; i++) check(argv[first + i - 1] == given[i], "a word differs");
    check(!argv[first + i - 1], "there are more words");
    errno = ENOENT;
    if (failing & (runtime ? NO_RUNTIME : NO_PYTHON)) return -1;
    longjmp(started, runtime ? 'r' : 'p');
}

static void serve(int fd, const void *bytes, size_t size) {
    files[fd - DATA_FD] = (struct file){bytes, size, 0, NULL};
}

/* The wrapper's data with *body*, and its checksum if it is to be *right*; returns the size. */
static size_t make_data(const uint8_t *body, size_t size, int right) {
    uint64_t sum = 0;
    size_t padded = (size + 7) / 8 * 8;
    if (24 + padded > sizeof made) return 0;
    memset(made, 0, 24 + padded);
    memcpy(made, "ocihooks skip 1", 16);
    if (size) memcpy(made + 24, body, size);
    rest.at = made + 24, rest.end = made + 24 + padded;
    if (right) sum = checksum();
    memcpy(made + 16, &sum, sizeof sum);
    return 24 + padded;
}

static int call(int argc, char *const words[]) {
    char *own[argc + 1];
    memcpy(own, words, ((size_t)argc + 1) * sizeof *own);
    given = words;
    memset(noted("\0\0\0"), 0, 1 << 16); /* a process begins without notes; the first is that of four NULs */
    int answer = setjmp(started);
    if (!answer) {
        launcher_main(argc, own);
        answer = 'x';
    }
    for (int i = 0; i < 2; i++) /* the next call may touch only what it has read itself */
        if (files[i].into) ASAN_POISON_MEMORY_REGION(files[i].into, files[i].at);
    files[0].into = files[1].into = NULL;
    return answer;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    static const char body[] = "\1\0\0\0\1\0\0\0" /* a source that is missing, and a text */
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                               "/missing\0com.example.gpu";
    char *at = settings_space + sizeof MARK;
    const char *const values[SETTINGS_COUNT] = {"/runtime", "/python", "/script.py", "/data", "wrapper"};
    (void)argc, (void)argv;
    for (int i = 0; i < SETTINGS_COUNT; i++) at = stpcpy(at, values[i]) + 1;
    ASAN_POISON_MEMORY_REGION(data, sizeof data);
    ASAN_POISON_MEMORY_REGION(config, sizeof config);
    serve(DATA_FD, made, make_data((const uint8_t *)body, sizeof body, 1));
    serve(CONFIG_FD, plain_config, sizeof plain_config - 1);
    check(call(5, plain_create) == 'r', "a plain create is not skipped");
    return 0;
}

#if defined FUZZ_WORDS
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    char text[4096], *words[4096 + 2] = {"wrapper"};
    int count = 1;
    if (size < 1 || size >= sizeof text) return -1;
    memcpy(text, input + 1, size - 1);
    text[size - 1] = 0;
    for (char *at = text; at < text + size; at += strlen(at) + 1) words[count++] = at;
    failing = input[0] & 3;
    return call(count, words) ? 0 : -1;
}
#elif defined FUZZ_DATA
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    if (size < 1) return -1;
    serve(DATA_FD, made, make_data(input + 1, size - 1, input[0] & 1));
    return call(5, plain_create) ? 0 : -1;
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size) {
    serve(CONFIG_FD, input, size);
    if (call(5, plain_create) == 'r') check(!memmem(input, size, "com.example.gpu", 15), "a text was overlooked");
    return 0;
}
#endif
