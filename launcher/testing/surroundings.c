/*
 * Writes down what a process inherits, or starts a program in unusual surroundings.
 *
 *     PROGRAM WORDS...                    writes to the file PROGRAM.seen, one fact a line, and becomes
 *                                         PROGRAM.next if that is there
 *     surroundings --start KIND PROGRAM WORDS...
 *
 * Bytes are written as hexadecimal digits. Descriptors are those below 64, each with its flags, place and device.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_bytes(FILE *out, const char *what, const char *bytes) {
    fprintf(out, "%s ", what);
    for (; *bytes; bytes++) fprintf(out, "%02x", (unsigned char)*bytes);
    fputc('\n', out);
}

static void write_signals(FILE *out) {
    struct sigaction action;
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (int number = 1; number <= 64; number++) {
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) fprintf(out, "ignored %d\n", number);
        if (sigismember(&blocked, number) == 1) fprintf(out, "blocked %d\n", number);
    }
}

static void write_descriptors(FILE *out, int own) {
    for (int fd = 0; fd < 64; fd++) {
        struct stat status;
        if (fd == own || fstat(fd, &status) != 0) continue;
        unsigned long inode = S_ISFIFO(status.st_mode) ? 0 : status.st_ino; /* pipes are new each time */
        fprintf(out, "fd %d: %lx %lu mode %o flags %x %x at %ld\n", fd, (unsigned long)status.st_dev, inode,
                status.st_mode, fcntl(fd, F_GETFD), fcntl(fd, F_GETFL), (long)lseek(fd, 0, SEEK_CUR));
    }
}

static void write_limits(FILE *out) {
    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        if (getrlimit(which, &limit) == 0)
            fprintf(out, "limit %d %lx %lx\n", which, limit.rlim_cur, limit.rlim_max);
    }
}

static int record(int argc, char **argv) {
    char path[PATH_MAX], cwd[PATH_MAX];
    mode_t mask = umask(0);
    snprintf(path, sizeof path, "%s.seen", argv[0]);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out || !getcwd(cwd, sizeof cwd)) return 98;
    for (int i = 0; i < argc; i++) write_bytes(out, "word", argv[i]);
    for (char **entry = environ; *entry; entry++) write_bytes(out, "env", *entry);
    write_bytes(out, "cwd", cwd);
    write_signals(out);
    write_descriptors(out, fd);
    write_limits(out);
    fprintf(out, "umask %o\nprocess %d\nparent %d\n", mask, getpid(), getppid());
    fprintf(out, "nice %d dumpable %d no new privileges %d\n", getpriority(PRIO_PROCESS, 0), prctl(PR_GET_DUMPABLE),
            prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    umask(mask);
    if (fclose(out)) return 98;
    snprintf(path, sizeof path, "%s.next", argv[0]);
    execv(path, argv);
    return 0;
}

static char *odd_environment[] = {"PATH=/bin", "PATH=/again", "A", "=", "=x", "", "B=\x01\xff\xfe", "a.b-c d=1",
                                  "BASH_FUNC_f%%=() { :; }", "LC_ALL=C", "LC_CTYPE=POSIX", "LD_PRELOAD=/nowhere.so",
                                  "LD_LIBRARY_PATH=/nowhere", "GLIBC_TUNABLES=glibc.malloc.check=1:x=y:glibc.rtld=",
                                  "GLIBC_TUNABLES=glibc.malloc.tcache_count=0", "MALLOC_CHECK_=3", "TZ=:/dev/zero",
                                  "PYTHONHOME=/nowhere", "PYTHONPATH=.", "TMPDIR=/nowhere", "LOCPATH=/nowhere", NULL};
static char *plain_environment[] = {"PATH=/bin", "HOME=/", NULL};
static char *no_environment[] = {NULL};
static char *usable_environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "A\nB=1", "\n=", "==x", "NAME", "\xff=\xfe",
                                     "a.b-c d=1", "LC_ALL=C", "A=1", "A=2", NULL};

static void change_signals(void) {
    sigset_t blocked;
    sigemptyset(&blocked);
    for (int number = 1; number <= 64; number += 3) sigaddset(&blocked, number);
    for (int number = 1; number <= 64; number++)
        if (number % 2 || number == SIGXFSZ) signal(number, SIG_IGN);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static void change_descriptors(int close_standard) {
    int ends[2], file = open("/dev/null", O_RDWR | O_APPEND | O_NONBLOCK), self = open("/proc/self/exe", O_RDONLY);
    if (pipe(ends) == 0 && dup2(ends[0], 20) >= 0 && dup2(ends[1], 63) >= 0 && dup2(file, 9) >= 0)
        lseek(self, 100, SEEK_SET);
    for (int fd = 0; close_standard && fd < 3; fd++) close(fd);
}

static void change_limits(void) {
    struct rlimit files = {70, 80}, core = {0, 4096}, size = {1 << 20, 1 << 21}, stack = {1 << 20, 1 << 24};
    setrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_CORE, &core);
    setrlimit(RLIMIT_FSIZE, &size);
    setrlimit(RLIMIT_STACK, &stack);
    umask(0157);
    setpriority(PRIO_PROCESS, 0, 7);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Unusual, and yet such that runtimes and containers work. */
static void change_what_is_usable(void) {
    struct rlimit files = {512, 1024}, core = {0, 4096};
    int ignored[] = {SIGPIPE, SIGXFSZ, SIGHUP, SIGUSR1}, file = open("/dev/null", O_RDWR | O_APPEND);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    sigaddset(&blocked, SIGWINCH);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
    setrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_CORE, &core);
    setpriority(PRIO_PROCESS, 0, 3);
    dup2(file, 40);
    umask(027);
}

static int start(const char *kind, char **argv) {
    char **environment = plain_environment;
    if (strcmp(kind, "odd environment") == 0) environment = odd_environment;
    if (strcmp(kind, "no environment") == 0) environment = no_environment;
    if (strcmp(kind, "usable") == 0) environment = usable_environment;
    if (strcmp(kind, "signals") == 0) change_signals();
    if (strcmp(kind, "descriptors") == 0) change_descriptors(0);
    if (strcmp(kind, "closed descriptors") == 0) change_descriptors(1);
    if (strcmp(kind, "limits") == 0) change_limits();
    if (strcmp(kind, "usable") == 0) change_what_is_usable();
    execve(argv[0], argv, environment);
    return 99;
}

int main(int argc, char **argv) {
    if (argc > 3 && strcmp(argv[1], "--start") == 0) return start(argv[2], argv + 3);
    return record(argc, argv);
}
