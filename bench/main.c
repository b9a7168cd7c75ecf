/* curfew-bench: what curfew costs against the bare system and against other tools, side by side in one run. */
#include "bench/daemon.h"
#include "bench/measures.h"
#include "bench/process.h"
#include "bench/sample.h"
#include "bench/sets.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
    "usage: curfew-bench [--quick] [--only LETTERS] [-- FLAGS of curfew serve]\n"
    "\n"
    "  --quick          fewer rounds: about a minute, and rougher figures\n"
    "  --only LETTERS   these measures alone, such as --only ab\n"
    "\n"
    "  (a) create until the first output     (d) the end with grace 0\n"
    "  (b) one command in a live session     (e) memory of an idle session and connection\n"
    "  (c) heartbeats against nginx          (f) 1 GiB of output in one answer\n"
    "  (g) 1 GiB streamed to one reader      (i) a key through an attached terminal\n"
    "  (h) 100 sessions at once against one  (j) one session beside 16 that print without end\n"
    "  (l) what the ledger adds to create, end and heartbeat\n"
    "\n"
    "Exit status: 0 when every measure was taken, 1 when one could not be; bars that were not met do not count.\n"
    "CURFEW names another curfew than the one in the build folder.\n";

static const struct {
    char letter;
    int (*take)(const struct bench *b);
} measures[] = {
    {'a', measure_create}, {'b', measure_exec}, {'c', measure_heartbeat},
    {'d', measure_end}, {'e', measure_memory}, {'f', measure_output},
    {'g', measure_stream}, {'h', measure_crowd}, {'i', measure_attach}, {'j', measure_flood},
    {'l', measure_ledger},
};

static void introduce(const struct bench *b)
{
    struct utsname system;
    double load = 0;
    uname(&system);
    getloadavg(&load, 1);
    printf("curfew %s on Linux %s, %d CPUs, load %.2f; median and 99th percentile of interleaved rounds, ratio of medians\n",
           CURFEW_VERSION, system.release, process_cpus(), load);
    if (!b->nginx || !b->wrk || !b->tmux)
        printf("not installed, so not compared with:%s%s%s\n", b->nginx ? "" : " nginx", b->tmux ? "" : " tmux",
               b->wrk ? "" : " wrk (the load comes from a loop of our own)");
    fflush(stdout);
}

static int run(struct bench *b, const char *only)
{
    int failed = 0;
    process_adopt();
    b->nginx = process_installed("nginx");
    b->wrk = process_installed("wrk");
    b->tmux = process_installed("tmux");
    introduce(b);
    for (size_t i = 0; i < sizeof measures / sizeof measures[0]; i++) {
        if (only != NULL && strchr(only, measures[i].letter) == NULL)
            continue;
        if (measures[i].take(b) == 0)
            continue;
        printf("\n(%c) could not be measured; the reason is on standard error\n", measures[i].letter);
        failed++;
    }
    double load = 0;
    getloadavg(&load, 1);
    printf("\nload at the end %.2f; %u bars not met", load, sample_bars_missed());
    printf(failed > 0 ? ", %d measures failed\n" : "\n", failed);
    return failed > 0;
}

/* Settings of whoever runs this must not reach the curfew that is measured. */
static void clean_environment(void)
{
    extern char **environ;
    static const char *const others[] = {"SESSION_TIMEOUT", "CLEANUP_INTERVAL", "PORT", "WORKSPACE_DIR"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        unsetenv(others[i]);
    for (char **entry = environ; *entry != NULL;) {
        char name[128];
        size_t len = strcspn(*entry, "=");
        if (strncmp(*entry, "CURFEW_", 7) == 0 && len < sizeof name) {
            memcpy(name, *entry, len);
            name[len] = '\0';
            unsetenv(name);
        } else {
            entry++;
        }
    }
}

static void remove_folder(char *folder)
{
    const char *argv[] = {"rm", "-rf", folder, NULL};
    process_run(argv, NULL, 0);
}

/* The measures run in a child: however it ends, what it started is ended and its folder removed. */
int main(int argc, char **argv)
{
    struct bench b = {.folder = "/tmp/curfew-bench.XXXXXX"};
    const char *only = NULL;
    struct rlimit files;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--hold") == 0 && i + 1 < argc)
            return sets_hold((unsigned)strtoul(argv[i + 1], NULL, 10));
        if (strcmp(argv[i], "--") == 0) {
            daemon_flags((const char *const *)&argv[i + 1]);
            break;
        }
        if (strcmp(argv[i], "--quick") == 0) {
            b.quick = true;
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else {
            bool help = strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
            fputs(usage, help ? stdout : stderr);
            return help ? 0 : 64;
        }
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && (files.rlim_cur = files.rlim_max) > 0)
        setrlimit(RLIMIT_NOFILE, &files);
    if (mkdtemp(b.folder) == NULL) {
        perror(b.folder);
        return 1;
    }
    clean_environment();
    process_adopt();
    pid_t child = fork();
    if (child == 0)
        _exit(run(&b, only));
    signal(SIGINT, SIG_IGN);
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    process_end_children(20000);
    remove_folder(b.folder);
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
