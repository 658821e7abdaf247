/*
 * The launcher of the wrappers whose runtime is not known when they are installed; see launcher.c, which this includes.
 *
 * oci-add-hooks, which has no data, is told its runtime by its first words. container-hooks-runtime finds it as its
 * settings say: while these, and all places where it was looked for, are unchanged, the data names it, and the log that
 * gets a line for each call; see src/ocihooks/dropins/toolkit_refresh.py. All creates are left to Python.
 */
#define main launcher_main
#include "launcher.c"
#undef main

enum { OWN_WORDS = 4, TEXTS = 3 };

/* Take the runtime from the words of oci-add-hooks, if these are the usual ones; returns how many there are. */
static int take_runtime_from_words(int argc, char **argv) {
    if (argc <= OWN_WORDS + 1 || !strchr(argv[OWN_WORDS], '/')) return 0;
    if (strcmp(argv[1], "--hook-config-path") != 0 || strcmp(argv[3], "--runtime-path") != 0) return 0;
    settings[RUNTIME] = argv[OWN_WORDS];
    return OWN_WORDS;
}

/* The time as runc's logger writes it: the days of a year count from March, so that the odd one is the last. */
static void write_moment(char *text, size_t size) {
    long long now = (long long)time(NULL), seconds = now % 86400, days = now / 86400 + 719468, era = days / 146097;
    long long of_era = days % 146097, years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    long long of_year = of_era - (365 * years + years / 4 - years / 100), month = (5 * of_year + 2) / 153;
    long long day = of_year - (153 * month + 2) / 5 + 1, shown = month < 10 ? month + 3 : month - 9;
    snprintf(text, size, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lldZ", years + era * 400 + (shown <= 2), shown, day,
             seconds / 3600, seconds / 60 % 60, seconds % 60);
}

/* Append a line to the log, an ordinary file that is there; returns whether it was written. */
static int append_line(const char *file, const char *operation, const char *runtime, int json) {
    char moment[64], line[4200];
    struct stat status;
    write_moment(moment, sizeof moment);
    int size = json ? snprintf(line, sizeof line, "{\"level\":\"info\",\"msg\":\"%s goes to %s\",\"time\":\"%s\"}\n",
                               operation, runtime, moment)
                    : snprintf(line, sizeof line, "time=\"%s\" level=info msg=\"%s goes to %s\"\n", moment, operation,
                               runtime);
    if (size < 0 || (size_t)size >= sizeof line || stat(file, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
    int fd = open(file, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return 0;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    ssize_t written = write(fd, line, (size_t)size);
    signal(SIGXFSZ, before);
    close(fd);
    return written == size;
}

/* Take the runtime of container-hooks-runtime from its data, and log that; returns whether all is certain. */
static int take_runtime_from_data(char **argv, const struct call *call) {
    const char *path = getenv("PATH"), *wanted, *runtime, *log;
    if (counts[1] != TEXTS || !(wanted = take_text()) || !(runtime = take_text()) || !(log = take_text())) return 0;
    if (*wanted == '=' && (!path || strcmp(path, wanted + 1) != 0)) return 0;
    for (int i = 1; i < call->operation; i++)
        if (strcmp(argv[i], "--debug") == 0) return 0;
    if (call->log && access(call->log, F_OK) != 0) return 0; /* its directory may have to be made */
    int json = call->log_format && strcmp(call->log_format, "json") == 0;
    if (*log == '/' && !append_line(log, argv[call->operation], runtime, json)) return 0;
    settings[RUNTIME] = runtime;
    return 1;
}

int main(int argc, char **argv) {
    struct call call = {0, NULL, NULL, NULL};
    read_settings();
    if (argc < 1 || *settings[PYTHON] != '/' || *settings[SCRIPT] != '/') return 127;
    int own = *settings[DATA] ? 0 : take_runtime_from_words(argc, argv);
    uint64_t sum = unchanged();
    call.operation = skip_options(argc - own, argv + own, 1, global_flags, global_values, &call);
    if (call.operation && is_one_of(argv[own + call.operation], harmless) &&
        (own || (sum && take_runtime_from_data(argv, &call))))
        become_runtime(argv + own);
    start_wrapper(argc, argv, sum);
    const char *outcome = may_change(argc - own, argv + own, call.operation) ? "; container not created" : "";
    if (own && !*outcome) become_runtime(argv + own);
    return complain(&call, settings[PYTHON], outcome,
                    "install ocihooks for an interpreter that is there, then run ocihooks install again");
}
