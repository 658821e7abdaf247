/*
 * Calls the launcher's main again and again in one process, so that tests can try hundreds of thousands of calls.
 *
 *     driver RUNTIME PYTHON SCRIPT DATA NAME < CASES > ANSWERS
 *
 * Numbers are 32 bits in the machine's byte order, and a block is its size and its bytes. A case is: which programs
 * can't be started (1 the runtime, 2 the interpreter); the number of files, and for each its path and content as
 * blocks; the number of words, and each as a block. Files are written before the call. The answer to a case is a
 * letter: r (became the runtime), p (started the wrapper), x (gave up).
 *
 * Built with AddressSanitizer, whatever lies behind the bytes that were read from a file must not be touched.
 */
#define main launcher_main
#define execv driver_execv
#define read driver_read
#include "../launcher.c"
#undef main
#undef execv
#undef read
#include <setjmp.h>
#include <sys/syscall.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum { NO_RUNTIME = 1, NO_PYTHON = 2 };

static jmp_buf started;
static char **given;
static uint32_t failing;

static void check(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "driver: %s\n", what);
    abort();
}

ssize_t driver_read(int fd, void *into, size_t size) {
    ASAN_UNPOISON_MEMORY_REGION(into, size);
    ssize_t got = syscall(SYS_read, fd, into, size);
    size_t kept = got > 0 ? (size_t)got : 0;
    ASAN_POISON_MEMORY_REGION((char *)into + kept, size - kept);
    return got;
}

/* Stands for the system call; checks the words on the way. */
int driver_execv(const char *path, char *const argv[]) {
    int runtime = path == settings[RUNTIME], first = runtime ? 1 : 4, i = 1;
    check(runtime || path == settings[PYTHON], "an unknown program was started");
    check(strcmp(argv[0], path) == 0, "the first word is not the program");
    if (!runtime) {
        size_t stem = strlen(settings[SCRIPT]) - 2; /* what the script and its compiled form have in common */
        check(strcmp(argv[1], "-IS") == 0 && strncmp(argv[2], settings[SCRIPT], stem) == 0, "another script was started");
        check(strcmp(argv[2] + stem, "py") == 0 || strcmp(argv[2] + stem, "start") == 0, "another form was started");
        check(strncmp(argv[3], "--ignored-signals=", 18) == 0, "the wrapper is not told the ignored signals");
    }
    for (; given[i]; i++) check(argv[first + i - 1] == given[i], "a word differs");
    check(!argv[first + i - 1], "there are more words");
    errno = ENOENT;
    if (failing & (runtime ? NO_RUNTIME : NO_PYTHON)) return -1;
    longjmp(started, runtime ? 'r' : 'p');
}

static uint32_t take_number(void) {
    uint32_t number;
    check(fread(&number, sizeof number, 1, stdin) == 1, "a case ends too early");
    return number;
}

/* A block with a NUL behind it, to be freed. */
static char *take_block(uint32_t *size) {
    *size = take_number();
    char *block = malloc((size_t)*size + 1);
    check(block && fread(block, 1, *size, stdin) == *size, "a block ends too early");
    block[*size] = 0;
    return block;
}

static void write_file(void) {
    uint32_t size, unused;
    char *path = take_block(&unused), *content = take_block(&size);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(fd >= 0 && write(fd, content, size) == (ssize_t)size && close(fd) == 0, "a file can't be written");
    free(path);
    free(content);
}

static int run_case(void) {
    uint32_t unused, count;
    for (count = take_number(); count; count--) write_file();
    count = take_number();
    char **words = calloc((size_t)count + 1, sizeof *words);
    given = calloc((size_t)count + 1, sizeof *given);
    check(words && given, "no memory");
    for (uint32_t i = 0; i < count; i++) given[i] = words[i] = take_block(&unused);
    memset(noted("\0\0\0"), 0, 1 << 16); /* a process begins without notes; the first is that of four NULs */
    int answer = setjmp(started);
    if (!answer) {
        launcher_main((int)count, words);
        answer = 'x';
    }
    for (char **word = given; *word; word++) free(*word);
    free(given);
    free(words);
    return answer;
}

int main(int argc, char **argv) {
    char *at = settings_space + sizeof MARK;
    check(argc == SETTINGS_COUNT + 1, "usage: driver RUNTIME PYTHON SCRIPT DATA NAME");
    for (int i = 1; i < argc; i++) at = stpcpy(at, argv[i]) + 1;
    while (fread(&failing, sizeof failing, 1, stdin) == 1) putchar(run_case());
    return 0;
}
