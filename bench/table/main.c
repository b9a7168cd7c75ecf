/* curfew-bench-table: the session table of libcurfew against what one would use instead, side by side in one run. */
#include "bench/process.h"
#include "bench/sample.h"
#include "bench/table/results.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
    "usage: curfew-bench-table [--quick] [--sizes 10k,1M,10M] [--only NAME,...]\n"
    "\n"
    "  --quick          10k and 1M sessions, fewer rounds: under 40 seconds, and rougher figures\n"
    "  --sizes LIST     how many sessions, such as 1M or 10k,200k\n"
    "  --only LIST      these competitors alone; ratios and bars need curfew among them\n"
    "\n"
    "Exit status: 0 when all was measured, 1 when something could not be; bars that were not reached do not count.\n";

#define TOGETHER_MAX 2000000            /* sessions up to which all competitors fit into memory side by side */

struct plan {
    bool quick;
    char folder[64];
    struct results results;
};

static const struct adapter *const all[] = {
    &adapter_array, &adapter_curfew, &adapter_curfew_clock,
#ifdef HAVE_GLIB
    &adapter_glib,
#endif
#ifdef HAVE_UTHASH
    &adapter_uthash,
#endif
    &adapter_heap, &adapter_wheel, &adapter_wheel_lazy, &adapter_redis,
#ifdef HAVE_SQLITE
    &adapter_sqlite,
#endif
};

/* How often each task is done at a size. */
static unsigned rounds_of(const struct plan *p, enum task task, size_t sessions, const struct adapter *a)
{
    bool many = sessions > TOGETHER_MAX, costly = a->slow && sessions > 100000;
    switch (task) {
    case TASK_CREATE: return p->quick || many || costly ? 1 : 5;
    case TASK_GROW: return a->external || a->floor || a->reads_clock || costly ? 0 : p->quick || many ? 1 : 5;
    case TASK_ROUND: return costly ? (p->quick || many ? 1 : 2) : p->quick || many ? 2 : sessions > 100000 ? 5 : 15;
    case TASK_THREADS: return p->quick || many || costly ? 1 : 5;
    case TASK_DURING: return a->floor || a->reads_clock || many ? 0 : 1;
    default: return 0;
    }
}

static void progress(const char *what, size_t sessions, const char *name, unsigned round)
{
    char text[32];
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%s sessions, %s, round %u: %s", results_sessions(sessions, text, sizeof text), what,
                round + 1, name);
}

static bool take(struct plan *p, struct worker *worker, size_t competitor, size_t size, enum task task, unsigned round)
{
    static const char *const names[TASKS] = {
        "create", "create call by call", "touch and sweep", "threads", "during sweeps",
    };
    struct answer answer;
    const char *name = p->results.competitors[competitor]->name;
    progress(names[task], p->results.sizes[size], name, round);
    if (!worker_do(worker, task, round, &answer)) {
        fprintf(stderr, "bench: %s could not be measured (%s)\n", name, names[task]);
        return false;
    }
    results_add(&p->results, competitor, size, &answer);
    return true;
}

/* Creates all sessions in a process that is new for each round; the last one stays. */
static bool build(struct plan *p, const struct names *names, struct worker *worker, size_t competitor, size_t size)
{
    const struct adapter *a = p->results.competitors[competitor];
    for (unsigned round = 0; round < rounds_of(p, TASK_GROW, names->count, a); round++) {
        bool good = worker_start(worker, a, names, p->folder, p->quick) &&
                    take(p, worker, competitor, size, TASK_GROW, round);
        worker_stop(worker);
        if (!good)
            return false;
    }
    for (unsigned round = 0; round < rounds_of(p, TASK_CREATE, names->count, a); round++) {
        worker_stop(worker);
        if (!worker_start(worker, a, names, p->folder, p->quick) ||
            !take(p, worker, competitor, size, TASK_CREATE, round)) {
            worker_stop(worker);
            return false;
        }
    }
    return true;
}

/* These competitors side by side, taking turns at each round.  One that fails is left out from there on. */
static bool measure(struct plan *p, const struct names *names, size_t first, size_t count, size_t size)
{
    struct worker workers[COMPETITORS_MAX] = {{0}};
    bool whole = true;
    for (size_t i = first; i < first + count; i++)
        whole &= build(p, names, &workers[i], i, size);
    for (enum task task = TASK_ROUND; task < TASKS; task++)
        for (unsigned round = 0; round < ROUNDS_MAX; round++)
            for (size_t i = first; i < first + count; i++) {
                if (workers[i].pid <= 0 || round >= rounds_of(p, task, names->count, p->results.competitors[i]))
                    continue;
                if (take(p, &workers[i], i, size, task, round))
                    continue;
                worker_stop(&workers[i]);
                whole = false;
            }
    for (size_t i = first; i < first + count; i++)
        worker_stop(&workers[i]);
    return whole;
}

static bool measure_size(struct plan *p, size_t size)
{
    struct names names;
    bool whole = true;
    if (!names_make(&names, p->results.sizes[size])) {
        fprintf(stderr, "bench: no memory for the names of %zu sessions\n", p->results.sizes[size]);
        return false;
    }
    size_t count = p->results.competitor_count, step = names.count > TOGETHER_MAX ? 1 : count;
    for (size_t first = 0; first < count; first += step)
        whole &= measure(p, &names, first, step, size);
    names_free(&names);
    return whole;
}

static void introduce(const struct plan *p)
{
    struct utsname system;
    double load = 0;
    uname(&system);
    getloadavg(&load, 1);
    printf("curfew %s on Linux %s, %d CPUs, load %.2f; medians of interleaved rounds, ratio to curfew\n\n",
           CURFEW_VERSION, system.release, process_cpus(), load);
    for (size_t i = 0; i < p->results.competitor_count; i++)
        printf("    %-16s %s\n", p->results.competitors[i]->name, p->results.competitors[i]->what);
    printf("\n"
           "    All store id, workspace, time of creation, last use, count of messages, state and a pointer, and\n"
           "    judge idle and age limits.  What is not a library is compiled with curfew's flags.  Times are the\n"
           "    thread's CPU time; by the wall clock go Redis, which works elsewhere, and what has two threads.  The\n"
           "    time is an argument or a variable of the benchmark; only curfew-clock reads a clock.  Operations\n"
           "    follow each other without waiting, so the processor overlaps their cache misses, for everybody\n"
           "    alike.  Who has no locks of its own gets a mutex around each call where there are two threads.\n");
    fflush(stdout);
}

static int run(struct plan *p)
{
    bool whole = true;
    double load = 0;
    int64_t start_ns = sample_now_ns();
    process_adopt();
    signal(SIGPIPE, SIG_IGN);           /* a worker that died is found out by its missing answer */
    introduce(p);
    for (size_t size = 0; size < p->results.size_count; size++)
        whole &= measure_size(p, size);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    results_print(&p->results);
    results_judge(&p->results);
    getloadavg(&load, 1);
    printf("load at the end %.2f, %.0f s%s\n", load, (double)(sample_now_ns() - start_ns) / 1e9,
           whole ? "" : "; NOT ALL COULD BE MEASURED, the reason is on standard error");
    fflush(stdout);
    return whole ? 0 : 1;
}

static bool parse_sizes(struct results *r, char *list)
{
    r->size_count = 0;
    for (char *word = strtok(list, ","); word != NULL; word = strtok(NULL, ",")) {
        char *end;
        size_t value = strtoull(word, &end, 10);
        size_t unit = *end == 'k' ? 1000 : *end == 'M' ? 1000000 : 1;
        end += unit > 1;
        bool in_range = value <= 100000000 / unit && value * unit >= 1000;
        if (end == word || *end != '\0' || !in_range || r->size_count == SIZES_MAX) {
            fprintf(stderr, "bench: --sizes takes up to %d numbers from 1k to 100M, not %s\n", SIZES_MAX, word);
            return false;
        }
        r->sizes[r->size_count++] = value * unit;
    }
    return r->size_count > 0;
}

static bool parse_competitors(struct results *r, char *list)
{
    for (size_t i = 0; list == NULL && i < sizeof all / sizeof all[0]; i++)
        r->competitors[r->competitor_count++] = all[i];
    if (list == NULL)
        return true;
    for (char *word = strtok(list, ","); word != NULL; word = strtok(NULL, ",")) {
        size_t found = 0;
        while (found < sizeof all / sizeof all[0] && strcasecmp(all[found]->name, word) != 0)
            found++;
        if (found == sizeof all / sizeof all[0]) {
            fprintf(stderr, "bench: nobody is called %s; there are:", word);
            for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
                fprintf(stderr, "%s %s", i == 0 ? "" : ",", all[i]->name);
            fprintf(stderr, "\n");
            return false;
        }
        if (results_competitor(r, all[found]) == SIZE_MAX)
            r->competitors[r->competitor_count++] = all[found];
    }
    return r->competitor_count > 0;
}

static int parse(struct plan *p, int argc, char **argv)
{
    char quick_sizes[] = "10k,1M", all_sizes[] = "10k,1M,10M";
    char *sizes = NULL, *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            p->quick = true;
        } else if (strcmp(argv[i], "--sizes") == 0 && i + 1 < argc) {
            sizes = argv[++i];
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else {
            bool help = strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
            fputs(usage, help ? stdout : stderr);
            return help ? 0 : 64;
        }
    }
    if (sizes == NULL)
        sizes = p->quick ? quick_sizes : all_sizes;
    return parse_sizes(&p->results, sizes) && parse_competitors(&p->results, only) ? -1 : 64;
}

/* Waits for the child's end and hastens it when this process is told to go; its exit status. */
static int await(pid_t child, const sigset_t *signals)
{
    int status = 0;
    for (;;) {
        if (waitpid(child, &status, WNOHANG) != 0)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        int signo = sigwaitinfo(signals, NULL);
        if (signo == SIGINT || signo == SIGTERM)
            kill(child, SIGKILL);
    }
}

/* All is done in a child: however it ends, what it started is ended and its folder removed. */
int main(int argc, char **argv)
{
    static struct plan plan = {.folder = "/tmp/curfew-bench-table.XXXXXX"};
    const char *remove[] = {"rm", "-rf", plan.folder, NULL};
    sigset_t signals, before;
    int status = parse(&plan, argc, argv);
    if (status >= 0)
        return status;
    if (mkdtemp(plan.folder) == NULL) {
        perror(plan.folder);
        return 1;
    }
    process_adopt();
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, &before);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        _exit(run(&plan));
    }
    status = child > 0 ? await(child, &signals) : 1;
    process_end_children(5000);
    sigprocmask(SIG_SETMASK, &before, NULL);
    process_run(remove, NULL, 0);
    return status;
}
