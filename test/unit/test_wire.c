/* test_wire.c: which packets the keeper accepts, and packets with descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/packet.h"
#include "keeper/map.h"
#include "keeper/permit.h"
#include "keeper/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct { uint32_t type; size_t size; size_t fds_min, fds_max; uint32_t states; } requests[] = {
#define ROW(name, number, type, min, max, connection, session) { number, sizeof(struct type), min, max, connection },
    CF_WIRE_REQUESTS(ROW)
#undef ROW
};
#define REQUESTS (sizeof requests / sizeof requests[0])

static const struct cf_permit *check(uint32_t type, size_t size, size_t nfds, uint32_t state)
{
    unsigned char packet[512] = { 0 };
    const char *why = "";

    memcpy(packet, &type, sizeof type);
    return cf_permit_check(packet, size, nfds, state, &why);
}

static void each_request_is_legal_in_its_states_only(void **state)
{
    for (size_t i = 0; i < REQUESTS; i++)
        for (uint32_t s = 1; s <= 2; s <<= 1) {
            const struct cf_permit *permit = check(requests[i].type, requests[i].size, requests[i].fds_min, s);

            assert_int_equal(permit != NULL, (requests[i].states & s) != 0);
            if (permit != NULL)
                assert_int_equal(permit->type, requests[i].type);
        }
}

static void each_request_has_one_size(void **state)
{
    for (size_t i = 0; i < REQUESTS; i++)
        for (size_t size = 0; size < 256; size++)
            assert_int_equal(check(requests[i].type, size, requests[i].fds_min, requests[i].states) != NULL,
                             size == requests[i].size);
}

static void each_request_has_its_descriptors(void **state)
{
    for (size_t i = 0; i < REQUESTS; i++)
        for (size_t nfds = 0; nfds <= CF_PACKET_FDS_MAX; nfds++)
            assert_int_equal(check(requests[i].type, requests[i].size, nfds, requests[i].states) != NULL,
                             nfds >= requests[i].fds_min && nfds <= requests[i].fds_max);
}

static void reports_and_unknown_types_are_no_requests(void **state)
{
    for (uint32_t type = 0; type < 300; type++) {
        bool known = false;

        for (size_t i = 0; i < REQUESTS; i++)
            known = known || requests[i].type == type;
        for (size_t size = 0; size < 128 && !known; size++)
            assert_null(check(type, size, 0, CF_WIRE_C_READY));
    }
}

static void a_packet_arrives_whole_with_its_descriptors(void **state)
{
    int ends[2], fds[3] = { 0, 1, 2 }, got[4];
    char buf[64];
    size_t nfds;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    assert_int_equal(cf_packet_send(ends[0], "hello", 5, fds, 3), 0);
    assert_int_equal(cf_packet_recv(ends[1], buf, sizeof buf, got, 4, &nfds), 5);
    assert_int_equal(nfds, 3);
    for (size_t i = 0; i < nfds; i++) {
        assert_int_equal(fcntl(got[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        close(got[i]);
    }
    assert_int_equal(cf_packet_recv(ends[1], buf, sizeof buf, got, 4, &nfds), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(cf_packet_send(ends[0], "x", 1, fds, CF_PACKET_FDS_MAX + 1), -1);
    assert_int_equal(errno, EINVAL);
    close(ends[0]);
    assert_int_equal(cf_packet_recv(ends[1], buf, sizeof buf, got, 4, &nfds), 0);
    assert_int_equal(cf_packet_send(ends[1], "x", 1, NULL, 0), -1);
    close(ends[1]);
}

static int lowest_free(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

static void too_long_packets_and_stray_descriptors_leave_nothing_open(void **state)
{
    int ends[2], fds[16], got[4], before;
    char buf[8];
    size_t nfds;

    for (int i = 0; i < 16; i++)
        fds[i] = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    before = lowest_free();
    assert_int_equal(cf_packet_send(ends[0], "longer than that", 16, fds, 2), 0);
    assert_int_equal(cf_packet_recv(ends[1], buf, sizeof buf, got, 4, &nfds), -1);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(nfds, 0);
    assert_int_equal(cf_packet_send(ends[0], "short", 5, fds, 16), 0);
    assert_int_equal(cf_packet_recv(ends[1], buf, sizeof buf, got, 4, &nfds), -1);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(lowest_free(), before);
    close(ends[0]);
    close(ends[1]);
}

static int block(const char *text, size_t len)
{
    int fd = memfd_create("args", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    return fd;
}

static void an_argument_block_is_cut_into_exactly_its_strings(void **state)
{
    static const char text[] = "/bin/x\0-c\0\0A=1\0B=";     /* and the literal's own NUL */
    struct cf_spawn_plan plan = { .argc = 3, .envc = 2, .args_bytes = sizeof text };
    struct cf_spawn_args args;
    int fd = block(text, sizeof text);

    assert_int_equal(cf_spawn_plan_check(&plan), 0);
    assert_int_equal(cf_spawn_args_load(fd, &plan, &args), 0);
    assert_string_equal(args.argv[0], "/bin/x");
    assert_string_equal(args.argv[2], "");
    assert_null(args.argv[3]);
    assert_string_equal(args.envp[1], "B=");
    assert_null(args.envp[2]);
    cf_spawn_args_free(&args);

    for (uint32_t argc = 1; argc < 8; argc++)               /* any other count does not fit */
        for (uint32_t envc = 0; envc < 8; envc++) {
            plan.argc = argc;
            plan.envc = envc;
            assert_int_equal(cf_spawn_args_load(fd, &plan, &args), argc + envc == 5 ? 0 : EINVAL);
            if (argc + envc == 5)
                cf_spawn_args_free(&args);
        }
    plan.argc = 3;
    plan.envc = 2;
    plan.args_bytes = sizeof text - 1;                      /* the last one has no end */
    assert_int_equal(cf_spawn_args_load(fd, &plan, &args), EINVAL);
    plan.args_bytes = sizeof text + 1;                      /* more than there is */
    assert_int_equal(cf_spawn_args_load(fd, &plan, &args), EINVAL);
    close(fd);
    fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);           /* no memory file */
    assert_int_equal(cf_spawn_args_load(fd, &plan, &args), EINVAL);
    close(fd);
}

static void a_plan_has_bounds(void **state)
{
    struct cf_spawn_plan plan = { .argc = 1, .args_bytes = 8, .fd_count = 2, .targets = { 1, 2 } };

    assert_int_equal(cf_spawn_plan_check(&plan), 0);
    plan.targets[1] = 1;
    assert_int_equal(cf_spawn_plan_check(&plan), EBADF);
    plan.targets[1] = -1;
    assert_int_equal(cf_spawn_plan_check(&plan), EBADF);
    plan.targets[1] = CF_SPAWN_TARGET_LAST + 1;
    assert_int_equal(cf_spawn_plan_check(&plan), EBADF);
    plan.targets[1] = 2;
    plan.flags = CF_SPAWN_TERMINAL;                         /* without a target 0 */
    assert_int_equal(cf_spawn_plan_check(&plan), EINVAL);
    plan.targets[1] = 0;
    assert_int_equal(cf_spawn_plan_check(&plan), 0);
    for (unsigned bit = 1; bit < 32; bit++) {
        plan.flags = CF_SPAWN_TERMINAL | 1u << bit;
        assert_int_equal(cf_spawn_plan_check(&plan), EINVAL);
    }
    plan.flags = 0;
    plan.fd_count = CF_SPAWN_TARGETS_MAX + 1;
    assert_int_equal(cf_spawn_plan_check(&plan), E2BIG);
    plan.fd_count = 0;
    plan.envc = 0xffffffff;
    assert_int_equal(cf_spawn_plan_check(&plan), EINVAL);
    plan.envc = 8;
    assert_int_equal(cf_spawn_plan_check(&plan), EINVAL);
}

/* Against an array that cannot be wrong. */
static void a_map_finds_what_was_put_and_not_removed(void **state)
{
    enum { KEYS = 500 };
    struct cf_map map = { 0 };
    uint32_t model[KEYS + 1] = { 0 }, value;
    unsigned seed = 1;

    for (int step = 0; step < 200000; step++) {
        uint64_t key;

        seed = seed * 1103515245u + 12345u;
        key = (seed >> 8) % KEYS + 1;
        if ((seed >> 24) % 2 == 0) {
            assert_int_equal(cf_map_put(&map, key << 32, (uint32_t)step + 1), 0);
            model[key] = (uint32_t)step + 1;
        } else {
            cf_map_remove(&map, key << 32);
            model[key] = 0;
        }
        if (step % 1000 == 0)
            for (key = 1; key <= KEYS; key++) {
                assert_int_equal(cf_map_get(&map, key << 32, &value), model[key] != 0);
                if (model[key] != 0)
                    assert_int_equal(value, model[key]);
            }
    }
    assert_false(cf_map_get(&map, 0, &value));
    cf_map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "each request is legal in the connection states of its row only",
          .test_func = each_request_is_legal_in_its_states_only },
        { .name = "each request has one size, and any other is refused", .test_func = each_request_has_one_size },
        { .name = "each request has the descriptors of its row", .test_func = each_request_has_its_descriptors },
        { .name = "reports and unknown types are no requests", .test_func = reports_and_unknown_types_are_no_requests },
        { .name = "a packet arrives whole with its descriptors",
          .test_func = a_packet_arrives_whole_with_its_descriptors },
        { .name = "too long packets and stray descriptors leave nothing open",
          .test_func = too_long_packets_and_stray_descriptors_leave_nothing_open },
        { .name = "an argument block is cut into exactly its strings",
          .test_func = an_argument_block_is_cut_into_exactly_its_strings },
        { .name = "a session's plan has bounds", .test_func = a_plan_has_bounds },
        { .name = "a map finds what was put and not removed", .test_func = a_map_finds_what_was_put_and_not_removed },
    };

    return cmocka_run_group_tests_name("keeper wire", tests, NULL, NULL);
}
