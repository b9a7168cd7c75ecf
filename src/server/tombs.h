/* tombs.h: what is remembered of sessions that have ended: bounded by number and by age. */
#ifndef CURFEW_SERVER_TOMBS_H
#define CURFEW_SERVER_TOMBS_H

#include "base/jsonw.h"
#include "core/core.h"
#include "keeper/wire.h"

#define CF_EVIDENCE_MAX 192
#define CF_LAST_OUTPUT_MAX 2048

struct cf_tomb {
    char id[CF_ID_MAX];
    char workspace[CF_WORKSPACE_MAX];
    enum cf_kind kind;
    enum cf_reason reason;
    char evidence[CF_EVIDENCE_MAX];     /* one sentence: what showed that the reason held */
    int64_t created_wall_ns, ended_wall_ns;
    int64_t ended_mono_ns;
    int64_t idle_for_ns;                /* when the end was decided */
    uint64_t message_count;
    char agent[65];                     /* of kind agent: its name; "" otherwise */
    unsigned restarts;                  /* likewise: how often it was started again */
    uint32_t hold;                      /* CF_HOLD_* bits */
    enum cf_rung rung;
    bool has_status;
    int wait_status;                    /* the leader's, when has_status */
    uint32_t killed;
    int64_t took_ms;
    int64_t closed_ms, interrupted_ms, killed_ms;       /* the ladder's steps, as in struct cf_wire_ended */
    char *last_output;                  /* up to CF_LAST_OUTPUT_MAX bytes, owned; may be NULL */
    size_t last_output_len;
};

struct cf_keep;
struct cf_tombs;
struct cf_vault_record;

/* `keep` may be NULL. */
struct cf_tombs *cf_tombs_new(size_t max, int64_t retention_ns, const struct cf_keep *keep);
/* One of an earlier server (kind TOMB); the oldest first. */
void cf_tombs_restore(struct cf_tombs *tombs, const struct cf_vault_record *record);
/* When its session ended, by the monotonic clock. */
int64_t cf_tombs_kept_ended(const struct cf_vault_record *record);
void cf_tombs_free(struct cf_tombs **tombs);
/* Copies `tomb` and takes its last_output over.  The oldest goes when the table is full.  Returns the copy, borrowed until the
 * next add, or NULL when out of memory (last_output is freed then too). */
const struct cf_tomb *cf_tombs_add(struct cf_tombs *tombs, const struct cf_tomb *tomb);
/* NULL when there is none of that id, or none any more.  Borrowed until the next add. */
const struct cf_tomb *cf_tombs_find(struct cf_tombs *tombs, const char *id, int64_t now_mono_ns);
/* The ids of all, borrowed until the next add; room for as many as there are.  Returns how many. */
size_t cf_tombs_ids(const struct cf_tombs *tombs, const char **ret);
/* The last `most` of them, the oldest first. */
void cf_tombs_each(const struct cf_tombs *tombs, size_t most, void (*each)(void *arg, const struct cf_tomb *tomb), void *arg);
size_t cf_tombs_count(const struct cf_tombs *tombs);

/* "cgroup+pidns", "cgroup", "pidns", "subreaper", or "none". */
const char *cf_hold_name(uint32_t hold);
const char *cf_rung_name(enum cf_rung rung);
/* "closed after 0 ms, interrupted after 50 ms"; "no step" where nothing was left to be done. */
#define CF_LADDER_TEXT_MAX 128
const char *cf_tomb_ladder(const struct cf_tomb *tomb, char text[CF_LADDER_TEXT_MAX]);
void cf_tomb_json(const struct cf_tomb *tomb, struct cf_jsonw *w, const char *key);
/* The members of that object, without the last output. */
void cf_tomb_fields(const struct cf_tomb *tomb, struct cf_jsonw *w);

#endif
