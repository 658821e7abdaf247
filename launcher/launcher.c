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
 * "ocihooks install" writes the paths into the place that MARK announces; "ocihooks install --shortcut" and the wrapper
 * write the data that says when a create may be skipped (src/ocihooks/compiled/skip.py describes the format).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MARK "@ocihooks-launcher-settings@"
#define SETTINGS_BYTES 8192
#define DATA_BYTES (4 << 20)
#define CONFIG_BYTES (1 << 20)
#define MAX_WORDS 4096

enum { RUNTIME, PYTHON, SCRIPT, DATA, NAME, SETTINGS_COUNT };

/* The mark, then SETTINGS_COUNT texts, each ended by a NUL. Volatile: the compiler must not know what it holds. */
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
static const char *const harmless[] = {"start", "state", "kill",   "delete",   "exec",    "list",       "ps",
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
    const char *at = (const char *)settings_space + sizeof MARK;
    const char *end = (const char *)settings_space + SETTINGS_BYTES;
    for (int i = 0; i < SETTINGS_COUNT; i++) {
        const char *nul = memchr(at, 0, (size_t)(end - at));
        if (!nul) return 0;
        settings[i] = at;
        at = nul + 1;
    }
    return settings[RUNTIME][0] == '/' && settings[PYTHON][0] == '/' && settings[SCRIPT][0] == '/';
}

/* How many words the option at *word* takes, 0: it is none of ours. Its value goes to *value. */
static int option_words(char **word, const char *const *flags, const char *const *values, const char **value) {
    const char *equals = strchr(*word, '=');
    *value = NULL;
    if (is_one_of(*word, flags)) return 1;
    if (equals) {
        for (; *values; values++) {
            size_t length = strlen(*values);
            if ((size_t)(equals - *word) == length && memcmp(*word, *values, length) == 0) {
                *value = equals + 1;
                return 1;
            }
        }
        return 0;
    }
    if (!is_one_of(*word, values) || !word[1]) return 0;
    *value = word[1];
    return 2;
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

/* The bundle of a create whose options are all well known, in plain form, with one container id at the end. */
static const char *bundle_of(int argc, char **argv, int at) {
    const char *bundle = NULL;
    while (at < argc && argv[at][0] == '-') {
        const char *value;
        int words = option_words(argv + at, create_flags, create_values, &value);
        if (!words) return NULL;
        if (strncmp(argv[at], "--bundle", 8) == 0) bundle = value;
        at += words;
    }
    return bundle && bundle[0] == '/' && at == argc - 1 && argv[at][0] ? bundle : NULL;
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

/* A text with its length in front and a NUL behind. */
static const char *take_text(struct reader *reader, uint32_t *length) {
    const char *text;
    if (!take(reader, length, sizeof *length)) return NULL;
    if ((size_t)(reader->end - reader->at) <= *length || reader->at[*length]) return NULL;
    text = (const char *)reader->at;
    reader->at += *length + 1;
    return text;
}

static uint64_t checksum(const unsigned char *at, const unsigned char *end) {
    uint64_t sum = 14695981039346656037u;
    for (; at < end; at++) sum = (sum ^ *at) * 1099511628211u;
    return sum;
}

static uint64_t nanoseconds(struct timespec time) {
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Whether the next source in the data still looks as it did when the rules were compiled. */
static int source_unchanged(struct reader *reader, uint64_t now) {
    enum { MISSING, IDENTITY, WHOLE };
    uint64_t seen[8];
    uint32_t kind, length;
    struct stat status;
    const char *path;
    if (!take(reader, &kind, sizeof kind) || !take(reader, seen, sizeof seen)) return 0;
    if (!(path = take_text(reader, &length))) return 0;
    if (lstat(path, &status) != 0) return kind == MISSING;
    if (kind != IDENTITY && kind != WHOLE) return 0;
    if (seen[0] != status.st_dev || seen[1] != status.st_ino || seen[2] != status.st_mode) return 0;
    if (seen[3] != status.st_uid || seen[4] != status.st_gid) return 0;
    if (kind == IDENTITY) return 1;
    if (seen[6] > now || seen[7] > now) return 0;
    return seen[5] == (uint64_t)status.st_size && seen[6] == nanoseconds(status.st_mtim) &&
           seen[7] == nanoseconds(status.st_ctim);
}

/* Whether config.json surely has none of the texts without which no rule matches. */
static int matches_nothing(const char *bundle) {
    static const char magic[16] = "ocihooks skip 1";
    char path[4096];
    struct timespec now;
    uint32_t sources, texts, length;
    uint64_t sum;
    ssize_t size = read_file(settings[DATA], data, DATA_BYTES, 1), config_size;
    struct reader reader = {data, data + (size < 0 ? 0 : size)};
    if (size < 32 || memcmp(data, magic, sizeof magic) != 0) return 0;
    reader.at += sizeof magic;
    if (!take(&reader, &sum, sizeof sum) || sum != checksum(reader.at, reader.end)) return 0;
    if (!take(&reader, &sources, sizeof sources) || !take(&reader, &texts, sizeof texts)) return 0;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return 0;
    while (sources--)
        if (!source_unchanged(&reader, nanoseconds(now))) return 0;
    if ((size_t)snprintf(path, sizeof path, "%s/config.json", bundle) >= sizeof path) return 0;
    if ((config_size = read_file(path, config, CONFIG_BYTES, 0)) <= 0) return 0;
    /* Escapes that could hide a letter; no text of ours holds what the others stand for. */
    if (memmem(config, (size_t)config_size, "\\u", 2) || memmem(config, (size_t)config_size, "\\/", 2)) return 0;
    while (texts--) {
        const char *text = take_text(&reader, &length);
        if (!text || !length || memmem(config, (size_t)config_size, text, length)) return 0;
    }
    return reader.at == reader.end;
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
    static char *words[MAX_WORDS + 5];
    static char told[64];
    if (argc > MAX_WORDS) {
        errno = E2BIG;
        return;
    }
    snprintf(told, sizeof told, "--ignored-signals=%llx", ignored_signals());
    words[0] = (char *)settings[PYTHON];
    words[1] = "-IS";
    words[2] = (char *)settings[SCRIPT];
    words[3] = told;
    for (int i = 1; i < argc; i++) words[i + 3] = argv[i];
    execv(settings[PYTHON], words);
}

/* The interpreter can't be started: say so where engines look, unless the call surely changes no container. */
static int refuse(struct call call, int reason) {
    static char line[10240];
    static const char cause[] = "can't be started; container not created; hint: install ocihooks for an interpreter "
                                "that is there, then run ocihooks install again";
    int json = call.log_format && strcmp(call.log_format, "json") == 0;
    int fd = call.log ? open(call.log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0644) : -1;
    int size = snprintf(line, sizeof line, "%s%s: the interpreter %s %s (%s)%s\n",
                        json ? "{\"level\":\"error\",\"msg\":\"" : "", settings[NAME], settings[PYTHON], cause,
                        reason == ENOENT ? "it does not exist" : "the system refused", json ? "\"}" : "");
    if (fd >= 0 && size > 0 && write(fd, line, (size_t)size) < 0) errno = 0; /* a log never matters */
    dprintf(2, "%s: the interpreter %s %s\n", settings[NAME], settings[PYTHON], cause);
    return 1;
}

static void become_runtime(char **argv) {
    argv[0] = (char *)settings[RUNTIME];
    execv(settings[RUNTIME], argv);
}

int main(int argc, char **argv) {
    struct call call;
    const char *bundle;
    int reason, changes = 0;
    if (argc < 1 || !read_settings()) return 127;
    call = read_call(argc, argv);
    if (call.operation && is_one_of(argv[call.operation], harmless)) become_runtime(argv);
    if (call.operation && strcmp(argv[call.operation], "create") == 0 && settings[DATA][0] == '/' &&
        (bundle = bundle_of(argc, argv, call.operation + 1)) && matches_nothing(bundle))
        become_runtime(argv);
    start_wrapper(argc, argv);
    reason = errno;
    for (int i = 1; i < argc; i++) changes |= is_one_of(argv[i], changing);
    if (call.operation) changes = is_one_of(argv[call.operation], changing);
    if (changes) return refuse(call, reason);
    become_runtime(argv);
    return 127;
}
