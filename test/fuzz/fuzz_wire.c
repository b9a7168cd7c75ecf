/* fuzz_wire.c: any packets in any order against the keeper's checks, dispatch, table and ladder.
 *
 * Processes are stubbed out: a start succeeds, fails or stays silent as the input says, and what is killed is gone.
 * Input: records of one byte of kind, one of length, then that many bytes. */
#include "base/fd.h"
#include "base/log.h"
#include "keeper/context.h"
#include "keeper/ladder.h"
#include "keeper/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the stubs do next; one process, one thread. */
static struct {
    uint8_t mood;
    uint32_t starts;
} stub;

static int start(struct cf_keeper *k, struct cf_held *held, const struct cf_spawn_plan *plan, const int *fds)
{
    if (cf_spawn_plan_check(plan) != 0)
        abort();                        /* it must have been checked before */
    stub.starts++;
    held->init_pid = 1;
    if (stub.mood % 3 == 0)
        cf_ladder_event(k, held, CF_EVENT_STARTED, 100);
    return stub.mood % 3 == 1 ? EAGAIN : 0;
}

static int send_signal(struct cf_keeper *k, struct cf_held *held, const struct cf_scope *scope, int signo, bool wake)
{
    if (signo < 1 || signo > 64)
        abort();
    return stub.mood % 5 == 0 ? -1 : 0;
}

static void kill_all(struct cf_keeper *k, struct cf_held *held)
{
    if (stub.mood % 2 == 0)
        held->init_pid = 0;
}

static bool empty(struct cf_keeper *k, struct cf_held *held)
{
    return held->init_pid == 0;
}

static int release(struct cf_keeper *k, struct cf_held *held)
{
    return stub.mood % 7 == 0 ? -1 : 0;
}

static void drain(int fd)
{
    char packet[256];

    while (recv(fd, packet, sizeof packet, MSG_DONTWAIT) > 0)
        ;
}

/* What the loop would do between two packets. */
static void turn(struct cf_keeper *k, uint8_t kind, uint8_t value)
{
    struct cf_held *held;
    uint32_t slot = 0;

    k->now_ns += (int64_t)value * 100 * CF_NS_PER_MS;
    for (slot = cf_table_due(&k->table, 0, k->now_ns); slot < k->table.capacity;
         slot = cf_table_due(&k->table, slot + 1, k->now_ns))
        cf_ladder_event(k, cf_table_slot(&k->table, slot), CF_EVENT_TIMER, 0);
    if (k->table.chunk_count == 0)
        return;
    held = cf_table_slot(&k->table, value % CF_TABLE_CHUNK);
    if (held->state == CF_HELD_FREE)
        return;
    if (kind % 4 == 1)
        cf_ladder_event(k, held, CF_EVENT_LEFT, value);
    if (kind % 4 == 2) {
        held->init_pid = 0;
        held->leader_gone = true;
        cf_ladder_event(k, held, CF_EVENT_CHANGED, 0);
    }
    if (kind % 4 == 3)
        cf_ladder_event(k, held, (enum cf_event)(value % CF_EVENTS), value);
}

/* A packet of the right type and size about one of a few sessions, so that bytes need not hit that by chance. */
static size_t shape(uint8_t kind, const uint8_t *data, size_t length, union cf_request *ret, size_t *ret_nfds)
{
    static const struct { uint32_t type; size_t size, nfds; } rows[] = {
#define ROW(name, number, type, min, ...) { number, sizeof(struct type), min },
        CF_WIRE_REQUESTS(ROW)
#undef ROW
    };
    size_t row = (kind >> 4) % (sizeof rows / sizeof rows[0]);
    union cf_request request = { 0 };

    memcpy((char *)&request + sizeof request.type, data, length < rows[row].size - 4 ? length : rows[row].size - 4);
    request.type = rows[row].type;
    if (rows[row].size > sizeof request.BYE)    /* the key has the same place in all that have one */
        request.END.key = length > 0 ? data[0] % 8 : 1;
    if (request.type == CF_WIRE_SPAWN) {
        request.SPAWN.hold %= 16;
        request.SPAWN.argc %= 4;
        request.SPAWN.envc %= 4;
        request.SPAWN.args_bytes %= 2 * CF_WIRE_ARGS_MAX;
        request.SPAWN.fd_count %= 3;
        request.SPAWN.fd_targets[0] %= 2;
        request.SPAWN.flags %= 4;
        request.SPAWN.lease_ms &= 0xffff;
    }
    if (request.type == CF_WIRE_HELLO)
        request.HELLO.version = CF_WIRE_VERSION;
    *ret_nfds = rows[row].nfds + (request.type == CF_WIRE_SPAWN ? request.SPAWN.fd_count : 0);
    *ret = request;
    return rows[row].size;
}

static int send_one(struct cf_keeper *k, uint8_t kind, const uint8_t *data, size_t length)
{
    int fds[CF_WIRE_FDS_MAX], outcome;
    union cf_request request;
    size_t nfds = (kind >> 4) % (CF_WIRE_FDS_MAX + 1);
    const void *packet = data;

    if ((kind & 2) != 0) {
        length = shape(kind, data, length, &request, &nfds);
        packet = &request;
    }
    for (size_t i = 0; i < nfds; i++)
        fds[i] = dup(0);
    outcome = cf_link_dispatch(k, packet, length, fds, nfds);
    for (size_t i = 0; i < nfds; i++)
        cf_fd_close(&fds[i]);
    return outcome;
}

static void play(struct cf_keeper *k, int peer_fd, const uint8_t *data, size_t size)
{
    while (size >= 2 && k->link.fd >= 0) {
        uint8_t kind = data[0];
        size_t length = data[1] < size - 2 ? data[1] : size - 2;

        stub.mood = kind >> 2;
        if ((kind & 1) == 0)
            turn(k, kind >> 1, data[1]);
        else if (send_one(k, kind, data + 2, length) != 0)
            cf_link_drop(k);
        if ((kind & 1) != 0) {
            data += length;
            size -= length;
        }
        data += 2;
        size -= 2;
        cf_link_flush(k);
        if ((kind & 8) == 0)
            drain(peer_fd);
    }
}

void cf_keeper_end_all(struct cf_keeper *k, enum cf_end_cause cause, int64_t grace_ms)
{
    k->phase = CF_PHASE_ENDING;
    for (uint32_t slot = 0; slot < k->table.chunk_count * CF_TABLE_CHUNK; slot++)
        if (cf_table_slot(&k->table, slot)->state != CF_HELD_FREE)
            cf_ladder_end(k, cf_table_slot(&k->table, slot), cause, grace_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cf_hold_ops ops = { start, send_signal, kill_all, empty, release };
    struct cf_keeper k = { .ops = &ops, .hold_default = CF_HOLD_PIDNS, .hold_offered = 7, .now_ns = CF_NS_PER_S };
    int ends[2];

    cf_log_init("fuzz", CF_LOG_ERROR);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        abort();
    k.link = (struct cf_link){ .fd = ends[0], .state = CF_WIRE_C_NEW };
    if (size > 0 && (data[0] & 0x80) != 0)
        k.link.state = CF_WIRE_C_READY;
    cf_table_init(&k.table, 300);
    play(&k, ends[1], data, size);
    cf_link_drop(&k);
    for (int i = 0; i < 8; i++) {       /* whatever came: it ends, and nothing stays in the table */
        stub.mood = 2;
        cf_keeper_end_all(&k, CF_CAUSE_SERVER_LOST, 0);
        turn(&k, 0, 255);
    }
    if (k.table.live != 0)
        abort();
    cf_kept_free(&k);
    if (k.kept.total != 0)
        abort();
    cf_table_free(&k.table);
    close(ends[1]);
    return 0;
}
