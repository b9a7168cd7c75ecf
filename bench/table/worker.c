#include "bench/table/worker.h"
#include "bench/sample.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE 2500000                  /* touches that are timed in one round, */
#define SLOW_SAMPLE 100000              /* and of a slow competitor */
#define START_NS (SECOND_NS * 1000000)  /* where the benchmark's clock begins */

struct order {
    enum task task;
    unsigned round;
};

bool worker_fail(struct answer *ret_answer, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(ret_answer->why, sizeof ret_answer->why, fmt, args);
    va_end(args);
    return false;
}

int64_t worker_clock_ns(const struct adapter *adapter)
{
    struct timespec now;
    clock_gettime(adapter->external ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

size_t worker_resident_bytes(pid_t pid)
{
    char path[64], line[256];
    size_t kib = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)(pid == 0 ? getpid() : pid));
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "Anonymous:", 10) == 0)
            kib = strtoull(line + 10, NULL, 10);
    if (file != NULL)
        fclose(file);
    return kib * 1024;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void worker_sort(uint32_t *values, size_t count)
{
    qsort(values, count, sizeof values[0], compare);
}

static bool exchange(int fd, void *data, size_t size, bool writing)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = writing ? write(fd, (char *)data + done, size - done) : read(fd, (char *)data + done, size - done);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static void serve(struct bench *b, int order_fd, int answer_fd)
{
    static task_function *const tasks[TASKS] = {
        worker_create, worker_grow, worker_round, worker_threads, worker_during,
    };
    struct order order;
    while (exchange(order_fd, &order, sizeof order, false) && order.task < TASKS) {
        struct answer answer = {.ok = false};
        for (unsigned i = 0; i < MEASURES; i++)
            answer.values[i] = NAN;
        b->round = order.round;
        answer.ok = tasks[order.task](b, &answer);
        if (!exchange(answer_fd, &answer, sizeof answer, true))
            break;
    }
    /* The process goes and its memory with it; but a server of its own is to be ended. */
    if (b->store != NULL && b->adapter->external)
        b->adapter->close(b->store);
}

bool worker_start(struct worker *worker, const struct adapter *adapter, const struct names *names, const char *folder,
                  bool quick)
{
    int orders[2], answers[2];
    struct bench b = {.adapter = adapter, .names = names, .folder = folder, .quick = quick, .now_ns = START_NS};
    if (pipe2(orders, O_CLOEXEC) != 0 || pipe2(answers, O_CLOEXEC) != 0)
        return false;
    b.sample = adapter->slow ? SLOW_SAMPLE : SAMPLE;
    if (b.sample > names->count)
        b.sample = names->count;
    fflush(stdout);
    worker->pid = fork();
    if (worker->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(orders[1]);
        close(answers[0]);
        size_t bytes = names->count * sizeof b.refs[0];
        b.refs = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (b.refs == MAP_FAILED)
            _exit(1);
        madvise(b.refs, bytes, MADV_HUGEPAGE);
        memset(b.refs, 0, bytes);
        serve(&b, orders[0], answers[1]);
        _exit(0);
    }
    close(orders[0]);
    close(answers[1]);
    worker->order_fd = orders[1];
    worker->answer_fd = answers[0];
    return worker->pid > 0;
}

bool worker_do(struct worker *worker, enum task task, unsigned round, struct answer *ret_answer)
{
    struct order order = {task, round};
    if (!exchange(worker->order_fd, &order, sizeof order, true) ||
        !exchange(worker->answer_fd, ret_answer, sizeof *ret_answer, false)) {
        fprintf(stderr, "the worker has died\n");
        return false;
    }
    if (!ret_answer->ok)
        fprintf(stderr, "%s\n", ret_answer->why);
    return ret_answer->ok;
}

void worker_stop(struct worker *worker)
{
    struct order order = {TASKS, 0};
    if (worker->pid <= 0)
        return;
    /* Closing the pipe would not do: workers that were started later hold it as well. */
    exchange(worker->order_fd, &order, sizeof order, true);
    close(worker->order_fd);
    close(worker->answer_fd);
    waitpid(worker->pid, NULL, 0);
    worker->pid = 0;
}
