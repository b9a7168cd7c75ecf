#include "keeper/handover.h"
#include "keeper/link.h"

void cf_handover_begin(struct cf_keeper *k)
{
    k->link.handover = (struct cf_handover){ .running = k->table.live != 0 || k->kept.total != 0 };
}

static uint32_t state_of(const struct cf_held *held)
{
    if (held->state == CF_HELD_STARTING || held->spawn_error != 0)
        return CF_WIRE_S_NONE;
    return held->state == CF_HELD_LIVE ? CF_WIRE_S_LIVE : held->state == CF_HELD_LEFT ? CF_WIRE_S_LEFT : CF_WIRE_S_ENDING;
}

static int put_held(struct cf_keeper *k, const struct cf_held *held)
{
    struct cf_wire_held report = { .type = CF_WIRE_HELD, .session_state = state_of(held), .key = held->key,
                                   .hold = held->hold };

    report.pid = report.session_state != CF_WIRE_S_NONE ? held->leader_pid : 0;
    return cf_link_put(k, &report, sizeof report, NULL, 0);
}

/* All descriptors of a session, or of the server (NULL), from where it stopped.  0, or -1: the server does not read now. */
static int put_kept(struct cf_keeper *k, const struct cf_held *held)
{
    struct cf_handover *h = &k->link.handover;

    do {
        struct cf_wire_kept report = { .type = CF_WIRE_KEPT, .key = held != NULL ? held->key : 0 };
        int fds[CF_WIRE_FDS_MAX];
        uint32_t next;

        report.count = cf_kept_list(k, held, h->cursor, report.tags, fds, &next);
        if (report.count != 0 && cf_link_put(k, &report, sizeof report, fds, report.count) != 0)
            return -1;
        h->cursor = next;
    } while (h->cursor != 0);
    return 0;
}

/* What an earlier server was told and did not note, or was not told. */
static void owe_again(struct cf_keeper *k, struct cf_held *held)
{
    held->told = k->link.serial;
    if (held->state == CF_HELD_LEFT)
        cf_link_owe(k, held, CF_OWED_LEFT);
    if (held->state == CF_HELD_GONE)
        cf_link_owe(k, held, held->spawn_error != 0 ? CF_OWED_SPAWNED : CF_OWED_ENDED);
    if (held->state > CF_HELD_LEFT || held->spawn_error != 0)
        cf_kept_close(k, held);         /* it began to end meanwhile */
}

static int introduce(struct cf_keeper *k, struct cf_held *held)
{
    struct cf_handover *h = &k->link.handover;

    if (!h->introduced && put_held(k, held) != 0)
        return -1;
    h->introduced = true;
    if (put_kept(k, held) != 0)
        return -1;
    h->introduced = false;
    owe_again(k, held);
    return 0;
}

void cf_handover_flush(struct cf_keeper *k)
{
    struct cf_handover *h = &k->link.handover;

    if (!h->own_done && put_kept(k, NULL) != 0)
        return;
    h->own_done = true;
    for (; h->slot < k->table.chunk_count * CF_TABLE_CHUNK; h->slot++) {
        struct cf_held *held = cf_table_slot(&k->table, h->slot);

        if (held->state != CF_HELD_FREE && introduce(k, held) != 0)
            return;
    }
    h->running = false;
    if (k->phase == CF_PHASE_ENDING)
        cf_kept_close_own(k);
}

void cf_handover_stop(struct cf_keeper *k)
{
    bool stopped = k->link.handover.running;

    k->link.handover = (struct cf_handover){ 0 };
    if (k->phase == CF_PHASE_ENDING)
        cf_kept_close_own(k);
    if (!stopped)
        return;
    for (uint32_t slot = 0; slot < k->table.chunk_count * CF_TABLE_CHUNK; slot++) {
        struct cf_held *held = cf_table_slot(&k->table, slot);

        if (held->state > CF_HELD_LEFT || held->spawn_error != 0)
            cf_kept_close(k, held);
    }
}
