/*
 * The launcher of ocihooks-runtime: an accelerator without opinions.
 *
 * Engines call a runtime four to eight times per container, and only create, run and restore read a config.json. This
 * program becomes the runtime at once for calls that surely are none of these, and for a create whose container surely
 * matches no rule; any doubt, unknown option or error starts the wrapper in Python, which is complete by itself.
 *
 * Words, environment, descriptors, signals and their mask reach the runtime as they came. CPython ignores SIGPIPE and
 * SIGXFSZ when it starts, so the wrapper is told which signals were ignored before, in the word behind its script.
 *
 * "ocihooks install" puts a copy of this program in the place that engines call (src/ocihooks/install/launcher.py); the
 * wrapper writes the data that says when a create may be skipped (src/ocihooks/compiled/skip.py has the format).
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MARK "@ocihooks-launcher-settings@"
#define SETTINGS_BYTES 8192
#define DATA_BYTES (4 << 20)
#define CONFIG_BYTES (1 << 20)
#define ID_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-."

enum { RUNTIME, PYTHON, SCRIPT, DATA, NAME, SETTINGS_COUNT };

/* The mark, then SETTINGS_COUNT texts, each ended by a NUL. Volatile: the compiler can't know what a copy holds. */
static volatile char settings_space[SETTINGS_BYTES] = MARK;
static const char *settings[SETTINGS_COUNT];

/* One byte more than a file may hold tells that it holds more. */
static unsigned char data[DATA_BYTES + 1];
static char config[CONFIG_BYTES + 1];

static const char *const global_flags[] = {"--debug", "--systemd-cgroup", NULL};
static const char *const global_values[] = {"--root", "--log", "--log-format", "--rootless", "--criu",
                                            "--cgroup-manager", NULL};
static const char *const create_flags[] = {"--no-pivot", "--no-new-keyring", NULL};
static const char *const create_values[] = {"--bundle", "--pid-file", "--console-socket", "--preserve-fds", NULL};
static const char *const changing[] = {"create", "run", "restore", NULL};
static const char *const harmless[] = {"start", "state", "kill",   "delete",   "exec",    "list",       "ps",  "spec",
                                       "pause", "resume", "update", "features", "events", "checkpoint", NULL};

struct call {
    int operation;          /* index of the operation's word, or 0: it isn't sure which word that is */
    const char *log;        /* value of --log, or NULL */
    const char *log_format; /* value of --log-format, or NULL */
};

static int is_one_of(const char *word, const char *const *words) {
    for (; *words; words++)
        if (strcmp(word, *words) == 0) return 1;
    return 0;
}

static int read_settings(void) {
    static char texts[SETTINGS_BYTES - sizeof MARK];
    const char *start = texts;
    int found = 0;
    for (size_t i = 0; i < sizeof texts && found < SETTINGS_COUNT; i++) {
        texts[i] = settings_space[sizeof MARK + i];
        if (texts[i]) continue;
        settings[found++] = start;
        start = texts + i + 1;
    }
    return found == SETTINGS_COUNT && settings[RUNTIME][0] == '/' && settings[PYTHON][0] == '/' &&
           settings[SCRIPT][0] == '/';
}

/* How many words the option at *word* takes, 0: it is none of ours. Its value goes to *value, NULL: it has none. */
static int option_words(char **word, const char *const *flags, const char *const *values, const char **value) {
    const char *equals = strchr(*word, '=');
    *value = NULL;
    if (is_one_of(*word, flags)) return 1;
    for (; *values; values++) {
        size_t length = strlen(*values);
        if (strncmp(*word, *values, length) != 0) continue;
        if (equals == *word + length) return *value = equals + 1, 1;
        if (!(*word)[length] && word[1]) return *value = word[1], 2;
    }
    return 0;
}

/* Find the operation behind global options that are all well known. */
static struct call read_call(int argc, char **argv) {
    struct call call = {0, NULL, NULL};
    int at = 1;
    while (at < argc && argv[at][0] == '-') {
        const char *value;
        int words = option_words(argv + at, global_flags, global_values, &value);
        if (!words) return call;
        if (strncmp(argv[at], "--log-format", 12) == 0) call.log_format = value;
        else if (strncmp(argv[at], "--log", 5) == 0) call.log = value;
        at += words;
    }
    if (at < argc) call.operation = at;
    return call;
}

/* The bundle of a create whose options are all well known, with one usual container id at the end; else NULL. */
static const char *bundle_of(int argc, char **argv, int at) {
    const char *bundle = NULL;
    while (at < argc && argv[at][0] == '-') {
        const char *value;
        int words = option_words(argv + at, create_flags, create_values, &value);
        if (!words) return NULL;
        if (strncmp(argv[at], "--bundle", 8) == 0) bundle = value;
        at += words;
    }
    if (!bundle || bundle[0] != '/' || at != argc - 1 || !argv[at][0]) return NULL;
    return argv[at][strspn(argv[at], ID_LETTERS)] ? NULL : bundle;
}

/* Read a whole regular file; returns its size, or -1 for anything unusual. *trusted*: nobody else could write it. */
static ssize_t read_file(const char *path, void *buffer, size_t limit, int trusted) {
    struct stat status;
    size_t size = 0;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return -1;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        (!trusted || (status.st_uid == geteuid() && !(status.st_mode & 022))))
        while (size <= limit && (got = read(fd, (char *)buffer + size, limit + 1 - size)) > 0) size += (size_t)got;
    close(fd);
    return got == 0 && size <= limit ? (ssize_t)size : -1;
}

struct reader {
    const unsigned char *at, *end;
};

static int take(struct reader *reader, void *into, size_t size) {
    if ((size_t)(reader->end - reader->at) < size) return 0;
    memcpy(into, reader->at, size);
    reader->at += size;
    return 1;
}

/* A text that isn't empty, with its length in front and its only NUL behind; NULL: there is none. */
static const char *take_text(struct reader *reader, uint32_t *length) {
    const char *text;
    if (!take(reader, length, sizeof *length) || !*length) return NULL;
    if ((size_t)(reader->end - reader->at) <= *length) return NULL;
    text = (const char *)reader->at;
    if (strnlen(text, (size_t)*length + 1) != *length) return NULL;
    reader->at += (size_t)*length + 1;
    return text;
}

/* Any change within eight bytes gives another sum, others nearly always. */
static uint64_t checksum(const unsigned char *at, const unsigned char *end) {
    uint64_t sum = 14695981039346656037u;
    while (at < end) {
        uint64_t word = 0;
        size_t size = end - at < 8 ? (size_t)(end - at) : 8;
        memcpy(&word, at, size);
        sum = (sum ^ word) * 1099511628211u;
        sum ^= sum >> 32;
        at += size;
    }
    return sum;
}

static uint64_t nanoseconds(struct timespec time) {
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int is_later(struct timespec one, struct timespec other) {
    return one.tv_sec > other.tv_sec || (one.tv_sec == other.tv_sec && one.tv_nsec > other.tv_nsec);
}

/* Whether the next source in the data still looks as it did when the rules were compiled. */
static int source_unchanged(struct reader *reader, struct timespec now) {
    enum { MISSING, IDENTITY, WHOLE };
    uint64_t seen[8];
    uint32_t kind, length;
    struct stat status;
    const char *path;
    if (!take(reader, &kind, sizeof kind) || !take(reader, seen, sizeof seen)) return 0;
    if (!(path = take_text(reader, &length))) return 0;
    if (lstat(path, &status) != 0) return kind == MISSING && (errno == ENOENT || errno == ENOTDIR);
    if (kind != IDENTITY && kind != WHOLE) return 0;
    if (seen[0] != status.st_dev || seen[1] != status.st_ino || seen[2] != status.st_mode) return 0;
    if (seen[3] != status.st_uid || seen[4] != status.st_gid) return 0;
    if (kind == IDENTITY) return 1;
    if (is_later(status.st_mtim, now) || is_later(status.st_ctim, now)) return 0;
    return seen[5] == (uint64_t)status.st_size && seen[6] == nanoseconds(status.st_mtim) &&
           seen[7] == nanoseconds(status.st_ctim);
}

/* The place behind *letter* if that comes next, blanks aside; else NULL. */
static const char *behind(const char *at, const char *end, char letter) {
    while (at && at < end && memchr(" \t\r\n", *at, 4)) at++;
    return at && at < end && *at == letter ? at + 1 : NULL;
}

/*
 * Whether there surely is one process whose args begin with a text, since rules about commands are errors without.
 * This counts brackets and looks at the names of members; whatever is unusual is left to Python.
 */
static int has_command(const char *at, const char *end) {
    int depth = 0, processes = 0, commands = 0, in_process = 0;
    while (at < end) {
        char letter = *at++;
        const char *name = at;
        depth += (letter == '{' || letter == '[') - (letter == '}' || letter == ']');
        if (letter != '"') continue;
        while (at < end && *at != '"') at += *at == '\\' && end - at > 1 ? 2 : 1;
        if (at == end) return 0;
        if (depth == 1) processes += in_process = at - name == 7 && strncasecmp(name, "process", 7) == 0;
        if (depth == 2 && in_process && at - name == 4 && strncasecmp(name, "args", 4) == 0) {
            if (!behind(behind(behind(at + 1, end, ':'), end, '['), end, '"')) return 0;
            commands++;
        }
        at++;
    }
    return processes == 1 && commands == 1;
}

/* Whether config.json surely has none of the texts without which no rule matches. */
static int matches_nothing(const char *bundle) {
    static const char magic[16] = "ocihooks skip 1";
    /* Escapes that may hide a letter of a text, the others can't; and the s that only some readers take for an s. */
    static const char *const odd[] = {"\\u", "\\/", "\xc5\xbf", NULL};
    char path[4096];
    struct timespec now;
    uint32_t sources, texts, length;
    uint64_t sum;
    ssize_t size = read_file(settings[DATA], data, DATA_BYTES, 1);
    struct reader reader = {data, data + (size < 0 ? 0 : size)};
    if (size < 32 || memcmp(data, magic, sizeof magic) != 0) return 0;
    reader.at += sizeof magic;
    if (!take(&reader, &sum, sizeof sum) || sum != checksum(reader.at, reader.end)) return 0;
    if (!take(&reader, &sources, sizeof sources) || !take(&reader, &texts, sizeof texts)) return 0;
    if (!sources || !texts || clock_gettime(CLOCK_REALTIME, &now) != 0) return 0;
    while (sources--)
        if (!source_unchanged(&reader, now)) return 0;
    if ((size_t)snprintf(path, sizeof path, "%s/config.json", bundle) >= sizeof path) return 0;
    if ((size = read_file(path, config, CONFIG_BYTES, 0)) < 0 || !has_command(config, config + size)) return 0;
    for (const char *const *text = odd; *text; text++)
        if (memmem(config, (size_t)size, *text, 2)) return 0;
    while (texts--) {
        const char *text = take_text(&reader, &length);
        if (!text || memmem(config, (size_t)size, text, length)) return 0;
    }
    return reader.at == reader.end;
}

/* Whether the file at *path* is the one that runs here, so that starting it would never end. */
static int is_this_program(const char *path) {
    const char *own = (const char *)getauxval(AT_EXECFN);
    struct stat one, other;
    return own && stat(own, &one) == 0 && stat(path, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

static void become_runtime(char **argv) {
    errno = ELOOP;
    if (is_this_program(settings[RUNTIME])) return;
    argv[0] = (char *)settings[RUNTIME];
    execv(settings[RUNTIME], argv);
}

/* The ignored signals as a number, bit N-1 for signal N. */
static unsigned long long ignored_signals(void) {
    unsigned long long ignored = 0;
    struct sigaction action;
    for (int signal = 1; signal <= 64; signal++)
        if (sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN) ignored |= 1ull << (signal - 1);
    return ignored;
}

static void start_wrapper(int argc, char **argv) {
    char *words[argc + 4]; /* fits: all words of a call together have at most a quarter of the stack */
    char told[64];
    snprintf(told, sizeof told, "--ignored-signals=%llx", ignored_signals());
    words[0] = (char *)settings[PYTHON];
    words[1] = (char *)"-IS";
    words[2] = (char *)settings[SCRIPT];
    words[3] = told;
    memcpy(words + 4, argv + 1, (size_t)argc * sizeof *argv);
    execv(settings[PYTHON], words);
}

/* Whether a line that Python should have judged may be about a new container. No option's value is an operation. */
static int may_change(int argc, char **argv, int operation) {
    for (int i = operation ? operation : 1; i < argc; i++) {
        if (is_one_of(argv[i], changing)) return 1;
        if (operation || is_one_of(argv[i], harmless)) return 0;
        if (is_one_of(argv[i], global_values)) i++;
    }
    return 0;
}

/* Add a line to a log, if that is an ordinary file or none; whether this works never matters. */
static void append(const char *path, const char *line) {
    struct stat status;
    int fd;
    if (!path || path[0] != '/' || (lstat(path, &status) == 0 && !S_ISREG(status.st_mode))) return;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
    if (fd < 0) return;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || write(fd, line, strlen(line)) < 0) errno = 0;
    close(fd);
}

/* Say where engines look that *program* can't be started; installation allows only paths that need no escapes. */
static int complain(const struct call *call, const char *what, const char *program, const char *outcome,
                    const char *hint) {
    static char sentence[3072], line[4096];
    const char *reason = errno == ENOENT  ? "it does not exist, or its loader doesn't"
                         : errno == EACCES ? "access is not allowed"
                         : errno == ELOOP  ? "it is this program itself, or behind too many links"
                                           : strerror(errno);
    int json = call->log_format && strcmp(call->log_format, "json") == 0;
    struct pollfd standard_error = {2, POLLOUT, 0};
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    snprintf(sentence, sizeof sentence, "%.200s: the %s %.2000s can't be started: %s%s", settings[NAME], what, program,
             reason, outcome);
    snprintf(line, sizeof line, json ? "{\"level\":\"error\",\"msg\":\"%s; hint: %s\"}\n" : "level=error msg=\"%s; hint: %s\"\n",
             sentence, hint);
    append(call->log, line);
    snprintf(line, sizeof line, "%s\nhint: %s\n", sentence, hint);
    if (poll(&standard_error, 1, 1000) > 0 && write(2, line, strlen(line)) < 0) errno = 0;
    return 1;
}

int main(int argc, char **argv) {
    struct call call;
    const char *bundle;
    if (argc < 1 || !read_settings()) return 127;
    call = read_call(argc, argv);
    if (call.operation && is_one_of(argv[call.operation], harmless)) become_runtime(argv);
    if (call.operation && strcmp(argv[call.operation], "create") == 0 && settings[DATA][0] == '/' &&
        (bundle = bundle_of(argc, argv, call.operation + 1)) && matches_nothing(bundle))
        become_runtime(argv);
    start_wrapper(argc, argv);
    if (may_change(argc, argv, call.operation))
        return complain(&call, "interpreter", settings[PYTHON], "; container not created",
                        "install ocihooks for an interpreter that is there, then run ocihooks install again");
    become_runtime(argv);
    return complain(&call, "OCI runtime", settings[RUNTIME], "", "run ocihooks install --runtime PATH");
}
