/* fuzz_wire.c: any packets in any order against the keeper's checks, dispatch, table and ladder.
 *
 * Processes are stubbed out: a start succeeds, fails or stays silent as the input says, and what is killed is gone.
 * Input: records of one byte of kind, one of length, then that many bytes. */
#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"
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

union report {
    uint32_t type;
#define ROW(name, number, structure) struct structure name;
    CF_WIRE_REPORTS(ROW)
#undef ROW
};

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

/* What a server has been told on this connection. */
static struct {
    int fd;
    uint32_t held, kept;                /* that WELCOME announced and did not come yet */
} peer;

/* A server learns all that there is before anything else, and exactly what was announced. */
static void hear(const union report *r, size_t nfds)
{
    if (r->type == CF_WIRE_WELCOME) {
        peer.held = r->WELCOME.held;
        peer.kept = r->WELCOME.kept;
    } else if (r->type == CF_WIRE_HELD) {
        if (peer.held-- == 0 || nfds != 0)
            abort();
    } else if (r->type == CF_WIRE_KEPT) {
        if (peer.kept < nfds || nfds == 0 || r->KEPT.count != nfds)
            abort();
        peer.kept -= (uint32_t)nfds;
    } else if (peer.held != 0 || peer.kept != 0) {
        abort();
    }
}

static void drain(void)
{
    union report report;
    int fds[CF_WIRE_FDS_MAX];
    size_t nfds;

    while (cf_packet_recv(peer.fd, &report, sizeof report, fds, CF_WIRE_FDS_MAX, &nfds) > 0) {
        hear(&report, nfds);
        for (size_t i = 0; i < nfds; i++)
            cf_fd_close(&fds[i]);
    }
}

/* With room for a few packets, so that one that does not read is met in the middle of everything. */
static void connect_one(struct cf_keeper *k, uint32_t state)
{
    int ends[2], little = 1;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0 ||
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &little, sizeof little) != 0)
        abort();
    k->link = (struct cf_link){ .fd = ends[0], .state = state, .serial = ++k->links };
    peer.fd = ends[1];
    peer.held = peer.kept = 0;
}

/* A server that goes, as the loop lets it go, and the next one, which asks first. */
static void succeed(struct cf_keeper *k)
{
    struct cf_wire_hello hello = { .type = CF_WIRE_HELLO, .version = CF_WIRE_VERSION };

    cf_link_drop(k);
    cf_fd_close(&peer.fd);
    if (k->phase == CF_PHASE_ENDING)
        return;
    connect_one(k, CF_WIRE_C_NEW);
    if (cf_link_dispatch(k, &hello, sizeof hello, NULL, 0) != 0)
        abort();
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
    if (rows[row].size > sizeof request.BYE || rows[row].type == CF_WIRE_FORGET)    /* the key has one place in all */
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
    if (request.type == CF_WIRE_HOLD) {
        request.HOLD.count = 1 + request.HOLD.count % CF_WIRE_FDS_MAX;
        for (uint32_t i = 0; i < CF_WIRE_FDS_MAX; i++)
            request.HOLD.tags[i] = i < request.HOLD.count ? 1 + request.HOLD.tags[i] % 256 : 0;
    }
    if (request.type == CF_WIRE_HELLO)
        request.HELLO.version = CF_WIRE_VERSION;
    *ret_nfds = request.type == CF_WIRE_HOLD ? request.HOLD.count
        : rows[row].nfds + (request.type == CF_WIRE_SPAWN ? request.SPAWN.fd_count : 0);
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

static void play(struct cf_keeper *k, const uint8_t *data, size_t size)
{
    while (size >= 2 && k->link.fd >= 0) {
        uint8_t kind = data[0];
        size_t length = data[1] < size - 2 ? data[1] : size - 2;

        stub.mood = kind >> 2;
        if ((kind & 1) == 0)
            turn(k, kind >> 1, data[1]);
        else if (!k->link.handover.running && send_one(k, kind, data + 2, length) != 0)
            succeed(k);
        if ((kind & 1) != 0) {
            data += length;
            size -= length;
        }
        data += 2;
        size -= 2;
        cf_link_flush(k);
        if ((kind & 8) == 0 && k->link.fd >= 0)
            drain();
    }
}

void cf_keeper_end_all(struct cf_keeper *k, enum cf_end_cause cause, int64_t grace_ms)
{
    k->phase = CF_PHASE_ENDING;
    for (uint32_t slot = 0; slot < k->table.chunk_count * CF_TABLE_CHUNK; slot++) {
        if (cf_table_slot(&k->table, slot)->state != CF_HELD_FREE)
            cf_ladder_end(k, cf_table_slot(&k->table, slot), cause, grace_ms);
        cf_link_release(k, cf_table_slot(&k->table, slot));
    }
}

/* Sessions may outlive a server; that another one starts is the loop's. */
static pid_t never(void *context, enum cf_start which, int *ret_fd)
{
    abort();
}

/* There is no process. */
void cf_keeper_signal_server(const struct cf_keeper *k, int signo)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cf_hold_ops ops = { start, send_signal, kill_all, empty, release };
    struct cf_keeper k = { .ops = &ops, .hold_default = CF_HOLD_PIDNS, .hold_offered = 7, .now_ns = CF_NS_PER_S,
                           .epoll_fd = -1, .config = { .start_server = never, .server_restarts = 3 } };

    cf_log_init("fuzz", CF_LOG_ERROR);
    connect_one(&k, size > 0 && (data[0] & 0x80) != 0 ? CF_WIRE_C_READY : CF_WIRE_C_NEW);
    cf_table_init(&k.table, 300);
    play(&k, data, size);
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
    cf_fd_close(&peer.fd);
    return 0;
}
