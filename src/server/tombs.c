/* tombs.c: a queue by age with a hash by id. */
#include "server/tombs.h"

#include "server/keep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

struct grave {
    struct cf_tomb tomb;
    struct grave *same_bucket;
    struct grave *younger;
    uint32_t hash;
    cf_vault_ref kept;
};

struct cf_tombs {
    size_t max, count, bucket_count;
    int64_t retention_ns;
    struct grave **buckets;
    struct grave *oldest, *youngest;
    const struct cf_keep *keep;         /* borrowed; may be NULL */
};

/* FNV-1a; ids end in random characters of our own choosing, so nobody can aim at one bucket. */
static uint32_t hash_id(const char *id)
{
    uint32_t h = 2166136261u;
    for (; *id != '\0'; id++)
        h = (h ^ (unsigned char)*id) * 16777619u;
    return h;
}

struct cf_tombs *cf_tombs_new(size_t max, int64_t retention_ns, const struct cf_keep *keep)
{
    struct cf_tombs *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    *t = (struct cf_tombs){ .max = max, .retention_ns = retention_ns, .bucket_count = 256, .keep = keep };
    t->buckets = calloc(t->bucket_count, sizeof *t->buckets);
    if (t->buckets == NULL) {
        free(t);
        return NULL;
    }
    return t;
}

static void drop_oldest(struct cf_tombs *t)
{
    struct grave *g = t->oldest;
    struct grave **at = &t->buckets[g->hash & (t->bucket_count - 1)];
    while (*at != g)
        at = &(*at)->same_bucket;
    *at = g->same_bucket;
    t->oldest = g->younger;
    if (t->oldest == NULL)
        t->youngest = NULL;
    t->count--;
    cf_vault_drop(cf_keep_vault(t->keep), &g->kept);
    free(g->tomb.last_output);
    free(g);
}

void cf_tombs_free(struct cf_tombs **tombs)
{
    if (*tombs == NULL)
        return;
    while ((*tombs)->oldest != NULL)
        drop_oldest(*tombs);
    free((*tombs)->buckets);
    free(*tombs);
    *tombs = NULL;
}

/* Twice the buckets; when memory is short the chains just grow longer. */
static void grow(struct cf_tombs *t)
{
    size_t n = t->bucket_count * 2;
    struct grave **fresh = calloc(n, sizeof *fresh);
    if (fresh == NULL)
        return;
    for (struct grave *g = t->oldest; g != NULL; g = g->younger) {
        struct grave **at = &fresh[g->hash & (n - 1)];
        g->same_bucket = *at;
        *at = g;
    }
    free(t->buckets);
    t->buckets = fresh;
    t->bucket_count = n;
}

static void expire(struct cf_tombs *t, int64_t now_mono_ns)
{
    while (t->oldest != NULL && now_mono_ns - t->oldest->tomb.ended_mono_ns > t->retention_ns)
        drop_oldest(t);
}

/* For the next server: the struct, whose pointer means nothing there, and the output behind it. */
static void keep(const struct cf_tombs *t, struct grave *g)
{
    struct cf_vault *vault = cf_keep_vault(t->keep);
    struct cf_tomb *kept;
    if (vault == NULL || !cf_vault_make(vault, &g->kept, CF_VAULT_TOMB, 0, 0, sizeof *kept + g->tomb.last_output_len))
        return;
    kept = cf_vault_data(vault, g->kept);
    *kept = g->tomb;
    if (g->tomb.last_output_len > 0)
        memcpy(kept + 1, g->tomb.last_output, g->tomb.last_output_len);
    cf_vault_name(vault, g->kept, cf_vault_number(vault));
}

static const struct cf_tomb *add(struct cf_tombs *t, const struct cf_tomb *tomb, cf_vault_ref kept);

const struct cf_tomb *cf_tombs_add(struct cf_tombs *t, const struct cf_tomb *tomb)
{
    return add(t, tomb, 0);
}

int64_t cf_tombs_kept_ended(const struct cf_vault_record *record)
{
    const struct cf_tomb *tomb = record->data;
    return record->len >= sizeof *tomb ? tomb->ended_mono_ns : 0;
}

void cf_tombs_restore(struct cf_tombs *t, const struct cf_vault_record *record)
{
    const struct cf_tomb *kept = record->data;
    struct cf_tomb tomb;
    if (record->len < sizeof *kept || record->key == 0 || record->len != sizeof *kept + kept->last_output_len)
        return;
    tomb = *kept;
    tomb.last_output = tomb.last_output_len > 0 ? malloc(tomb.last_output_len) : NULL;
    if (tomb.last_output != NULL)
        memcpy(tomb.last_output, kept + 1, tomb.last_output_len);
    else
        tomb.last_output_len = 0;
    (void)add(t, &tomb, record->ref);
}

static const struct cf_tomb *add(struct cf_tombs *t, const struct cf_tomb *tomb, cf_vault_ref kept)
{
    struct grave *g = calloc(1, sizeof *g);
    if (g == NULL) {
        free(tomb->last_output);
        return NULL;
    }
    expire(t, tomb->ended_mono_ns);
    if (t->count == t->max)
        drop_oldest(t);
    if (t->count >= t->bucket_count)
        grow(t);
    g->tomb = *tomb;
    g->kept = kept;
    if (kept == 0)
        keep(t, g);
    g->hash = hash_id(tomb->id);
    struct grave **at = &t->buckets[g->hash & (t->bucket_count - 1)];
    g->same_bucket = *at;
    *at = g;
    if (t->youngest != NULL)
        t->youngest->younger = g;
    else
        t->oldest = g;
    t->youngest = g;
    t->count++;
    return &g->tomb;
}

const struct cf_tomb *cf_tombs_find(struct cf_tombs *t, const char *id, int64_t now_mono_ns)
{
    uint32_t h = hash_id(id);
    expire(t, now_mono_ns);
    for (struct grave *g = t->buckets[h & (t->bucket_count - 1)]; g != NULL; g = g->same_bucket)
        if (g->hash == h && strcmp(g->tomb.id, id) == 0)
            return &g->tomb;
    return NULL;
}

size_t cf_tombs_ids(const struct cf_tombs *t, const char **ret)
{
    size_t n = 0;
    for (const struct grave *g = t->oldest; g != NULL; g = g->younger)
        ret[n++] = g->tomb.id;
    return n;
}

void cf_tombs_each(const struct cf_tombs *t, size_t most, void (*each)(void *arg, const struct cf_tomb *tomb), void *arg)
{
    size_t skip = t->count > most ? t->count - most : 0;
    for (const struct grave *g = t->oldest; g != NULL; g = g->younger)
        if (skip > 0)
            skip--;
        else
            each(arg, &g->tomb);
}

size_t cf_tombs_count(const struct cf_tombs *t)
{
    return t->count;
}

const char *cf_hold_name(uint32_t hold)
{
    switch (hold) {
    case CF_HOLD_CGROUP | CF_HOLD_PIDNS: return "cgroup+pidns";
    case CF_HOLD_CGROUP: return "cgroup";
    case CF_HOLD_PIDNS: return "pidns";
    case CF_HOLD_SUBREAPER: return "subreaper";
    default: return "none";
    }
}

const char *cf_rung_name(enum cf_rung rung)
{
    static const char *const names[] = { "unknown", "empty", "closed", "interrupted", "killed" };
    return names[rung <= CF_RUNG_KILLED ? rung : CF_RUNG_UNKNOWN];
}

/* What was done to end it, in its order. */
struct step {
    const char *name;
    int64_t after_ms;
};

static size_t steps_of(const struct cf_tomb *t, struct step ret[3])
{
    const struct step all[] = { { "closed", t->closed_ms }, { "interrupted", t->interrupted_ms }, { "killed", t->killed_ms } };
    size_t n = 0;
    for (size_t i = 0; i < 3 && t->rung != CF_RUNG_UNKNOWN; i++)
        if (all[i].after_ms >= 0)
            ret[n++] = all[i];
    return n;
}

const char *cf_tomb_ladder(const struct cf_tomb *t, char text[CF_LADDER_TEXT_MAX])
{
    struct step steps[3];
    size_t n = steps_of(t, steps), len = 0;
    snprintf(text, CF_LADDER_TEXT_MAX, "no step");
    for (size_t i = 0; i < n && len < CF_LADDER_TEXT_MAX; i++)
        len += (size_t)snprintf(text + len, CF_LADDER_TEXT_MAX - len, "%s%s after %lld ms", i > 0 ? ", " : "", steps[i].name,
                                (long long)steps[i].after_ms);
    return text;
}

static void write_ladder(const struct cf_tomb *t, struct cf_jsonw *w)
{
    struct step steps[3];
    size_t n = steps_of(t, steps);
    cf_jsonw_array(w, "ladder");
    for (size_t i = 0; i < n; i++) {
        cf_jsonw_object(w, NULL);
        cf_jsonw_str(w, "step", steps[i].name);
        cf_jsonw_int(w, "after_ms", steps[i].after_ms);
        cf_jsonw_object_end(w);
    }
    cf_jsonw_array_end(w);
}

void cf_tomb_fields(const struct cf_tomb *t, struct cf_jsonw *w)
{
    bool exited = t->has_status && WIFEXITED(t->wait_status), killed = t->has_status && WIFSIGNALED(t->wait_status);
    cf_jsonw_str(w, "session_id", t->id);
    cf_jsonw_str(w, "kind", cf_kind_name(t->kind));
    cf_jsonw_str(w, "workspace_name", t->workspace);
    cf_jsonw_str(w, "state", "ended");
    cf_jsonw_seconds(w, "created_at", t->created_wall_ns);
    cf_jsonw_seconds(w, "ended_at", t->ended_wall_ns);
    cf_jsonw_str(w, "reason", cf_reason_name(t->reason));
    cf_jsonw_str(w, "evidence", t->evidence);
    cf_jsonw_seconds(w, "inactive_time", t->idle_for_ns);
    cf_jsonw_int(w, "message_count", (int64_t)t->message_count);
    cf_jsonw_str(w, "containment", cf_hold_name(t->hold));
    cf_jsonw_str(w, "rung", cf_rung_name(t->rung));
    cf_jsonw_int(w, "killed", t->killed);
    cf_jsonw_int(w, "took_ms", t->took_ms);
    write_ladder(t, w);
    if (exited)
        cf_jsonw_int(w, "exit_code", WEXITSTATUS(t->wait_status));
    else
        cf_jsonw_null(w, "exit_code");
    if (killed)
        cf_jsonw_int(w, "signal", WTERMSIG(t->wait_status));
    else
        cf_jsonw_null(w, "signal");
    if (t->agent[0] != '\0') {
        cf_jsonw_str(w, "agent", t->agent);
        cf_jsonw_int(w, "restarts", t->restarts);
    }
}

void cf_tomb_json(const struct cf_tomb *t, struct cf_jsonw *w, const char *key)
{
    cf_jsonw_object(w, key);
    cf_tomb_fields(t, w);
    cf_jsonw_bytes(w, "last_output", t->last_output ? t->last_output : "", t->last_output_len);
    cf_jsonw_object_end(w);
}
