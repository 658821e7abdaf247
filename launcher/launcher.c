/*
 * The launcher of ocihooks-runtime: an accelerator without opinions.
 *
 * Of the calls that engines make, only create, run and restore read a config.json. This program becomes the runtime at
 * once for calls that surely are none of these, and for a create whose container surely matches no rule; any doubt,
 * unknown option or error starts the wrapper in Python, which is complete by itself. All else stays as it came.
 * See src/ocihooks/install/launcher.py for the settings, and src/ocihooks/compiled/skip.py for the wrapper's data.
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

/* The mark, then SETTINGS_COUNT texts, each ended by a NUL. Not static: the compiler can't know what a copy holds. */
char settings_space[SETTINGS_BYTES] = MARK;
static const char *settings[SETTINGS_COUNT];

/* One byte more than a file may hold tells that it holds more. */
static char data[DATA_BYTES + 1], config[CONFIG_BYTES + 1];

static const char *const global_flags[] = {"--debug", "--systemd-cgroup", NULL};
static const char *const global_values[] = {"--root", "--log", "--log-format", "--rootless", "--criu",
                                            "--cgroup-manager", NULL};
static const char *const create_flags[] = {"--no-pivot", "--no-new-keyring", NULL};
static const char *const create_values[] = {"--bundle", "--pid-file", "--console-socket", "--preserve-fds", NULL};
static const char *const changing[] = {"create", "run", "restore", NULL};
static const char *const harmless[] = {"start", "state", "kill",   "delete",   "exec",    "list",       "ps", "spec",
                                       "pause", "resume", "update", "features", "events", "checkpoint", NULL};

struct call {
    int operation; /* index of the operation's word, or 0: it isn't sure which word that is */
    const char *log, *log_format, *bundle; /* values of these options, or NULL */
};

static int is_one_of(const char *word, const char *const *words) {
    for (; *words; words++)
        if (strcmp(word, *words) == 0) return 1;
    return 0;
}

static int read_settings(void) {
    const char *at = settings_space + sizeof MARK;
    for (int i = 0; i < SETTINGS_COUNT; i++, at += strlen(at) + 1) settings[i] = at;
    return *settings[RUNTIME] == '/' && *settings[PYTHON] == '/' && *settings[SCRIPT] == '/';
}

/* Whether *word* is *option*, alone or with its value behind an equals sign. */
static int names(const char *word, const char *option) {
    size_t length = strlen(option);
    return strncmp(word, option, length) == 0 && (!word[length] || word[length] == '=');
}

/* The index of the first word behind options that are all well known, or 0; keeps the values that matter in *call. */
static int skip_options(int argc, char **argv, int at, const char *const *flags, const char *const *values,
                        struct call *call) {
    for (; at < argc && argv[at][0] == '-'; at++) {
        const char *const *option = values;
        if (is_one_of(argv[at], flags)) continue;
        while (*option && !names(argv[at], *option)) option++;
        if (!*option) return 0;
        const char *equals = argv[at] + strlen(*option), *value = *equals ? equals + 1 : argv[++at];
        /* Some versions of runc take blanks off the end of a word; letters beyond ASCII may be blanks. */
        if (!value || (*equals && (signed char)argv[at][strlen(argv[at]) - 1] <= ' ')) return 0;
        if (strcmp(*option, "--log") == 0) call->log = value;
        if (strcmp(*option, "--log-format") == 0) call->log_format = value;
        if (strcmp(*option, "--bundle") == 0) call->bundle = value;
    }
    return at < argc ? at : 0;
}

/* Whether a create has one absolute bundle, one usual container id at its end, and only options that are well known. */
static int is_plain_create(int argc, char **argv, struct call *call) {
    if (!call->operation || strcmp(argv[call->operation], "create") != 0) return 0;
    int at = skip_options(argc, argv, call->operation + 1, create_flags, create_values, call);
    if (!at || at != argc - 1 || !call->bundle || call->bundle[0] != '/') return 0;
    return argv[at][0] && !argv[at][strspn(argv[at], ID_LETTERS)];
}

/* Read a whole regular file; returns its size, or -1 for anything unusual. *trusted*: nobody else could write it. */
static ssize_t read_file(const char *path, char *buffer, size_t limit, int trusted) {
    struct stat status;
    size_t size = 0;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return -1;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
        (!trusted || (status.st_uid == geteuid() && !(status.st_mode & 022))))
        while (size <= limit && (got = read(fd, buffer + size, limit + 1 - size)) > 0) size += (size_t)got;
    close(fd);
    return got == 0 && size <= limit ? (ssize_t)size : -1;
}

/* What is left to read of the wrapper's data, and how many sources and texts are in it. */
static struct { const char *at, *end; } rest;
static uint32_t counts[2];

static int take(void *into, size_t size) {
    if ((size_t)(rest.end - rest.at) < size) return 0;
    memcpy(into, rest.at, size);
    rest.at += size;
    return 1;
}

static const char *take_text(void) {
    const char *text = rest.at, *nul = memchr(text, 0, (size_t)(rest.end - text));
    if (nul) rest.at = nul + 1;
    return nul && nul > text ? text : NULL;
}

/* Of all that is left, a multiple of eight bytes; another value there always gives another sum. */
static uint64_t checksum(void) {
    uint64_t sum = 14695981039346656037u, word;
    for (const char *at = rest.at; at < rest.end; at += sizeof word) {
        memcpy(&word, at, sizeof word);
        sum = (sum ^ word) * 1099511628211u;
        sum ^= sum >> 32;
    }
    return sum;
}

static uint64_t nanoseconds(struct timespec time) {
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Whether the next source in the data still looks as it did when the rules were compiled. */
static int source_unchanged(uint64_t now) {
    enum { MISSING, IDENTITY, WHOLE };
    uint64_t kind, then[8];
    struct stat status;
    const char *path;
    if (!take(&kind, sizeof kind) || !take(then, sizeof then) || !(path = take_text())) return 0;
    if (lstat(path, &status) != 0) return kind == MISSING && (errno == ENOENT || errno == ENOTDIR);
    const uint64_t found[8] = {status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid,
                               (uint64_t)status.st_size, nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
    if (kind == IDENTITY) return memcmp(found, then, 5 * sizeof *found) == 0;
    return kind == WHOLE && memcmp(found, then, sizeof found) == 0 && found[6] <= now && found[7] <= now;
}

/* Read the data up to its texts; returns its checksum if no source in it has changed, else 0. */
static uint64_t unchanged(void) {
    struct { char magic[16]; uint64_t sum; } head;
    struct timespec now;
    ssize_t size = *settings[DATA] == '/' ? read_file(settings[DATA], data, DATA_BYTES, 1) : -1;
    if (size < 0 || size % 8) return 0;
    rest.at = data, rest.end = data + size;
    if (!take(&head, sizeof head) || memcmp(head.magic, "ocihooks skip 1", 16) != 0) return 0;
    if (head.sum != checksum() || !take(counts, sizeof counts) || !counts[0]) return 0;
    /* With this a rootless user may have settings of their own. */
    if (getenv("XDG_CONFIG_HOME") || clock_gettime(CLOCK_REALTIME, &now) != 0) return 0;
    while (counts[0]--)
        if (!source_unchanged(nanoseconds(now))) return 0;
    return head.sum;
}

/* The place behind *letter* if that comes next, blanks aside; else NULL. */
static const char *behind(const char *at, const char *end, char letter) {
    while (at && at < end && memchr(" \t\r\n", *at, 4)) at++;
    return at && at < end && *at == letter ? at + 1 : NULL;
}

/* Whether there surely is one process whose args begin with a text, since rules about commands are errors without. */
static int has_command(const char *at, const char *end) {
    int depth = 0, processes = 0, commands = 0, in_process = 0;
    while (at < end) {
        char letter = *at++;
        const char *name = at;
        depth += (letter == '{' || letter == '[') - (letter == '}' || letter == ']');
        if (letter != '"') continue;
        while (at < end && *at != '"') at += *at == '\\' && end - at > 1 ? 2 : 1;
        if (depth == 1) processes += in_process = at - name == 7 && strncasecmp(name, "process", 7) == 0;
        if (depth == 1 && in_process && memcmp(name, "process", 7) != 0) return 0;
        if (depth == 2 && in_process && at - name == 4 && strncasecmp(name, "args", 4) == 0) {
            if (memcmp(name, "args", 4) != 0 || at == end) return 0;
            if (!behind(behind(behind(at + 1, end, ':'), end, '['), end, '"')) return 0;
            commands++;
        }
        at += at < end;
    }
    return processes == 1 && commands == 1;
}

/* Where a table keeps whether these four letters are anywhere in config.json; thus most texts need no search. */
static char *noted(const char *letters) {
    static char notes[1 << 16];
    uint32_t four;
    memcpy(&four, letters, sizeof four);
    return notes + (four * 2654435761u >> 16);
}

static int has_text(const char *text, size_t size) {
    for (size_t i = 0; i + 4 <= strlen(text); i++)
        if (!*noted(text + i)) return 0;
    return memmem(config, size, text, strlen(text)) != NULL;
}

/* Whether config.json surely has none of the texts without which no rule matches; they are what is left to read. */
static int matches_nothing(const char *bundle) {
    char path[4096];
    ssize_t size;
    if ((size_t)snprintf(path, sizeof path, "%s/config.json", bundle) >= sizeof path || !counts[1]) return 0;
    if ((size = read_file(path, config, CONFIG_BYTES, 0)) < 4 || !has_command(config, config + size)) return 0;
    /* Escapes that may hide a letter of a text, the others can't; and the long s, which only runc takes for an s. */
    if (has_text("\\u", (size_t)size) || has_text("\\/", (size_t)size) || has_text("\xc5\xbf", (size_t)size)) return 0;
    for (const char *letters = config; letters + 4 <= config + size; letters++) *noted(letters) = 1;
    for (const char *text; counts[1]; counts[1]--)
        if (!(text = take_text()) || has_text(text, (size_t)size)) return 0;
    return 1;
}

static void become_runtime(char **argv) {
    const char *own = (const char *)getauxval(AT_EXECFN);
    struct stat one, other;
    errno = ELOOP; /* it would never end if the runtime were this very program */
    if (own && stat(own, &one) == 0 && stat(settings[RUNTIME], &other) == 0 && one.st_dev == other.st_dev &&
        one.st_ino == other.st_ino)
        return;
    argv[0] = (char *)settings[RUNTIME];
    execv(settings[RUNTIME], argv);
}

/* *sum*: that of the data if all in it is unchanged, the interpreter and its compiled form of the script too; or 0. */
static void start_wrapper(int argc, char **argv, uint64_t sum) {
    char *words[argc + 4]; /* fits: all words of a call together have at most a quarter of the stack */
    static char told[80], start[SETTINGS_BYTES];
    unsigned long long ignored = 0;
    struct sigaction action;
    for (int number = 1; number <= 64; number++)
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) ignored |= 1ull << (number - 1);
    snprintf(told, sizeof told, "--ignored-signals=%llx:%llx", ignored, (unsigned long long)sum);
    snprintf(start, sizeof start, "%.*sstart", (int)strlen(settings[SCRIPT]) - 2, settings[SCRIPT]);
    const char *const first[] = {settings[PYTHON], "-IS", sum ? start : settings[SCRIPT], told};
    memcpy(words, first, sizeof first);
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

/* Say where engines look that *program* can't be started; "ocihooks install" takes no paths that need escapes. */
static int complain(const struct call *call, const char *program, const char *outcome, const char *hint) {
    static char text[3072];
    const char *reason = errno == ENOENT   ? "it does not exist, or its loader doesn't"
                         : errno == EACCES ? "access is not allowed"
                         : errno == ELOOP  ? "it is this program itself, or behind too many links"
                                           : strerror(errno);
    int json = call->log_format && strcmp(call->log_format, "json") == 0, file = -1;
    struct pollfd standard_error = {2, POLLOUT, 0};
    struct stat status;
    signal(SIGPIPE, SIG_IGN), signal(SIGXFSZ, SIG_IGN);
    snprintf(text, sizeof text, "%.200s: %.2000s can't be started: %s%s", settings[NAME], program, reason, outcome);
    /* Only an ordinary file is a log; whether this works never matters. */
    if (call->log && call->log[0] == '/' && (lstat(call->log, &status) != 0 || S_ISREG(status.st_mode)))
        file = open(call->log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0644);
    dprintf(file, json ? "{\"level\":\"error\",\"msg\":\"%s; hint: %s\"}\n" : "level=error msg=\"%s; hint: %s\"\n",
            text, hint);
    close(file);
    if (poll(&standard_error, 1, 1000) > 0) dprintf(2, "%s\nhint: %s\n", text, hint);
    return 1;
}

int main(int argc, char **argv) {
    struct call call = {0, NULL, NULL, NULL};
    if (argc < 1 || !read_settings()) return 127;
    call.operation = skip_options(argc, argv, 1, global_flags, global_values, &call);
    if (call.operation && is_one_of(argv[call.operation], harmless)) become_runtime(argv);
    uint64_t sum = unchanged();
    if (sum && is_plain_create(argc, argv, &call) && matches_nothing(call.bundle)) become_runtime(argv);
    start_wrapper(argc, argv, sum);
    if (may_change(argc, argv, call.operation))
        return complain(&call, settings[PYTHON], "; container not created",
                        "install ocihooks for an interpreter that is there, then run ocihooks install again");
    become_runtime(argv);
    return complain(&call, settings[RUNTIME], "", "run ocihooks install --runtime PATH");
}
