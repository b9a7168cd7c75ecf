#include "keeper_holds.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define BEHAVIOURS_MAX 64

uint32_t hold_of(void **state)
{
    return (uint32_t)(uintptr_t)*state;
}

void start(struct peer *p, uint64_t key, const char *script, int64_t lease_ms, int *ret_fd)
{
    union report report;

    peer_spawn(p, key, script, lease_ms, ret_fd);
    assert_true(peer_await(p, CF_WIRE_SPAWNED, key, &report));
    assert_int_equal(report.spawned.status, 0);
    assert_true(report.spawned.pid > 1);
    assert_int_equal(kill(report.spawned.pid, 0), 0);
}

void bye(struct peer *p)
{
    struct cf_wire_bye request = { .type = CF_WIRE_BYE, .grace_ms = 0 };
    int status;

    peer_send(p, &request, sizeof request, NULL, 0);
    assert_true(peer_broken(p));
    status = peer_close(p);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(peer_alive(p), 0);
}

void run_one(struct peer *p, uint64_t key)
{
    union report report;

    start(p, key, "sleep 1000", LEASE_MS, NULL);
    peer_end(p, key, 0);
    assert_true(peer_await(p, CF_WIRE_ENDED, key, &report));
}

static int run_hold(const char *name, uint32_t hold, const struct behaviour *behaviours, size_t count)
{
    struct CMUnitTest tests[BEHAVIOURS_MAX];
    static char titles[BEHAVIOURS_MAX][200];
    size_t n = 0;

    if (!peer_offers(hold)) {
        printf("1..0 # SKIP containment %s does not work on this machine\n", name);
        return 0;
    }
    for (size_t i = 0; i < count && n < BEHAVIOURS_MAX; i++) {
        if (behaviours[i].needs_init && (hold & (CF_HOLD_PIDNS | CF_HOLD_SUBREAPER)) == 0)
            continue;
        snprintf(titles[n], sizeof titles[n], "%s: %s", name, behaviours[i].title);
        tests[n] = (struct CMUnitTest){ .name = titles[n], .test_func = behaviours[i].function,
                                        .initial_state = (void *)(uintptr_t)hold };
        n++;
    }
    return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}

int run_holds(int argc, char **argv, const struct behaviour *behaviours, size_t count)
{
    static const struct { const char *name; uint32_t hold; } holds[] = {
        { "cgroup+pidns", CF_HOLD_CGROUP | CF_HOLD_PIDNS }, { "cgroup", CF_HOLD_CGROUP },
        { "pidns", CF_HOLD_PIDNS }, { "subreaper", CF_HOLD_SUBREAPER },
    };
    int failed = 0;

    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
    for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++)
        if (argc < 2 || strcmp(argv[1], holds[i].name) == 0)
            failed += run_hold(holds[i].name, holds[i].hold, behaviours, count);
    return failed != 0;
}
