/* recover.c: the order in which things come back: journals, their output, their commands; tombstones; sessions; shells; what was kept of ended
 * sessions.  Only then does anything move: the statuses that the dead had read, commands and terminals, and whatever cannot go on is ended. */
#include "server/recover.h"

#include "base/fd.h"
#include "base/log.h"
#include "server/archive.h"
#include "server/http.h"
#include "server/journal_kept.h"
#include "server/ledger.h"
#include "server/records.h"
#include "server/sessions.h"
#include "server/sessions_kept.h"
#include "server/shells.h"
#include "server/sweep.h"

#include <stdlib.h>
#include <string.h>

/* Records of the server itself. */
enum { CF_KEPT_SETTINGS, CF_KEPT_AGENTS };

struct kept_server {
    struct cf_settings settings;
    bool sweeping;
};

/* The records of one vault by kind, key and number. */
struct records {
    struct cf_vault_record *all;
    size_t count;
};

static int by_name(const void *left, const void *right)
{
    const struct cf_vault_record *a = left, *b = right;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

static int read_records(struct cf_vault *vault, struct records *ret)
{
    struct cf_vault_record r;
    uint64_t cursor = 0;
    size_t count = 0;
    while (cf_vault_next(vault, &cursor, &r))
        count++;
    ret->all = calloc(count + 1, sizeof *ret->all);
    if (ret->all == NULL)
        return -1;
    for (cursor = 0; ret->count < count && cf_vault_next(vault, &cursor, &r);)
        ret->all[ret->count++] = r;
    qsort(ret->all, ret->count, sizeof *ret->all, by_name);
    return 0;
}

/* The first of a kind, and how many there are. */
static const struct cf_vault_record *of_kind(const struct records *r, enum cf_vault_kind kind, size_t *ret_count)
{
    size_t first = 0;
    while (first < r->count && r->all[first].kind < kind)
        first++;
    *ret_count = 0;
    while (first + *ret_count < r->count && r->all[first + *ret_count].kind == kind)
        ++*ret_count;
    return r->all + first;
}

/* ---- the link, the vault, the settings ---- */

int cf_recover_open(struct cf_server *server, bool *ret_settled, struct cf_error *error)
{
    struct cf_vault_record r;
    uint64_t cursor = 0;
    *ret_settled = false;
    int code = cf_link_open(CF_WIRE_SERVER_FD, &server->heirs, &server->link, error);
    if (code != 0)
        return code;
    server->keep.link = server->link;
    int fd = cf_heir_take(cf_heirs_find(&server->heirs, 0), CF_TAG_STATE, 0);
    /* Not begun anew: the sessions wait for a server that can read it, such as the one before an upgrade. */
    if (fd >= 0 && (server->keep.vault = cf_vault_open(fd)) == NULL)
        return cf_error_set(error, CF_E_UNAVAILABLE, NULL, "what the last server left cannot be read by this one");
    while (cf_vault_next(server->keep.vault, &cursor, &r)) {
        const struct kept_server *kept = r.data;
        if (r.kind == CF_VAULT_SERVER && r.number == CF_KEPT_AGENTS && server->agents == NULL) {
            server->agents = cf_agents_unpack(r.data, r.len);
            server->agents_kept = r.ref;
        }
        if (r.kind != CF_VAULT_SERVER || r.number != CF_KEPT_SETTINGS || r.len != sizeof *kept)
            continue;
        server->settings = kept->settings;
        server->sweep_stopped = !kept->sweeping;
        server->kept = r.ref;
        *ret_settled = true;
    }
    if (!*ret_settled || server->agents == NULL) {      /* there was no memory for one of them: both come from the file again */
        *ret_settled = false;
        cf_agents_free(&server->agents);
        server->agents_kept = 0;
    }
    if (server->keep.vault != NULL)
        return 0;
    server->keep.vault = cf_vault_new();
    if (server->keep.vault == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for what the next server would need");
    const struct cf_keep_fd state = { CF_TAG_STATE, 0, cf_vault_fd(server->keep.vault) };
    cf_keep_hold(&server->keep, 0, &state, 1);
    return 0;
}

/* Once: they stay as they are. */
static void keep_agents(struct cf_server *server)
{
    struct cf_buf text;
    cf_buf_init(&text, CF_VAULT_RECORD_MAX - 64);
    cf_agents_pack(server->agents, &text);
    if (!text.failed)
        (void)cf_vault_put(cf_keep_vault(&server->keep), &server->agents_kept, CF_VAULT_SERVER, 0, CF_KEPT_AGENTS, text.data, text.len);
    cf_buf_free(&text);
}

void cf_recover_keep_settings(struct cf_server *server)
{
    if (server->agents_kept == 0)
        keep_agents(server);
    struct kept_server *kept = calloc(1, sizeof *kept);
    if (kept == NULL)
        return;
    kept->settings = server->settings;
    kept->sweeping = server->sweep != NULL ? cf_sweep_running(server->sweep) : server->settings.auto_cleanup_enabled;
    (void)cf_vault_put(cf_keep_vault(&server->keep), &server->kept, CF_VAULT_SERVER, 0, CF_KEPT_SETTINGS, kept, sizeof *kept);
    free(kept);
}

/* ---- journals ---- */

struct journals {
    struct cf_journal **all;            /* by number */
    size_t count;
};

static struct cf_journal *journal_of(const struct journals *j, uint64_t number)
{
    size_t low = 0, high = j->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint64_t here = cf_journal_number(j->all[middle]);
        if (here == number)
            return j->all[middle];
        if (here < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void restore_journals(struct cf_server *server, const struct records *records, struct journals *ret)
{
    size_t count;
    struct cf_heir *own = cf_heirs_find(&server->heirs, 0);
    const struct cf_vault_record *r = of_kind(records, CF_VAULT_JOURNAL, &count);
    ret->all = calloc(count + 1, sizeof(struct cf_journal *));
    for (size_t i = 0; ret->all != NULL && i < count; i++)
        if ((ret->all[ret->count] = cf_journal_restore(&r[i], &server->host.limits, &server->host.budget)) != NULL)
            ret->count++;
    r = of_kind(records, CF_VAULT_SPOOL, &count);
    for (size_t i = 0; i < count; i++) {
        struct cf_journal *j = journal_of(ret, r[i].key);
        if (j != NULL)
            cf_journal_restore_spool(j, &r[i], cf_heir_take(own, CF_TAG_SPOOL, (uint32_t)r[i].key));
    }
    r = of_kind(records, CF_VAULT_EXEC, &count);
    for (size_t i = 0; i < count; i++) {
        struct cf_journal *j = journal_of(ret, r[i].key);
        if (j != NULL)
            (void)cf_journal_restore_exec(j, &r[i]);
    }
    r = of_kind(records, CF_VAULT_HEAD, &count);
    for (size_t i = 0; i < count; i++) {
        struct cf_journal *j = journal_of(ret, r[i].key);
        if (j != NULL)
            cf_journal_restore_head(j, &r[i]);
    }
}

/* ---- sessions ---- */

static int by_end(const void *left, const void *right)
{
    int64_t a = cf_tombs_kept_ended(left), b = cf_tombs_kept_ended(right);
    return a < b ? -1 : a > b;
}

static void restore_tombs(struct cf_server *server, const struct records *records)
{
    size_t count;
    const struct cf_vault_record *r = of_kind(records, CF_VAULT_TOMB, &count);
    qsort(records->all + (r - records->all), count, sizeof *r, by_end);
    for (size_t i = 0; i < count; i++)
        cf_tombs_restore(server->tombs, &r[i]);
}

static void restore_sessions(struct cf_server *server, const struct records *records)
{
    size_t count;
    struct cf_error error;
    const struct cf_vault_record *r = of_kind(records, CF_VAULT_SESSION, &count);
    for (size_t i = 0; i < count; i++)
        if (cf_sessions_restore(server->sessions, &r[i], &error) != 0)
            cf_log(CF_LOG_ERROR, "a session of the last server cannot be taken over: %s", error.text);
}

/* Of who is with the keeper and in no session: a shell that was kept warm, or one whose session could not be taken over. */
static void discard(struct cf_server *server, const struct cf_vault_record *r)
{
    cf_vault_ref ref = r->ref;
    cf_shells_pass(server->shells, r->key);
    cf_vault_drop(server->keep.vault, &ref);
}

static void restore_shells(struct cf_server *server, const struct records *records, const struct journals *journals)
{
    size_t count;
    const struct cf_vault_record *r = of_kind(records, CF_VAULT_SHELL, &count);
    for (size_t i = 0; i < count; i++) {
        struct cf_journal *journal = journal_of(journals, cf_shell_kept_journal(&r[i]));
        struct cf_heir *heir = cf_heirs_find(&server->heirs, r[i].key), none = { .key = r[i].key };
        if (journal == NULL || !cf_sessions_restore_shell(server->sessions, &r[i], heir != NULL ? heir : &none, journal))
            discard(server, &r[i]);
        else if (heir != NULL)
            heir->taken = true;
    }
    for (uint32_t i = 0; i < server->heirs.count; i++) {
        const struct cf_heir *heir = &server->heirs.all[i];
        cf_shells_pass(server->shells, heir->key);
        if (heir->key != 0 && !heir->taken)
            cf_link_end(server->link, heir->key, 0);
    }
}

static int by_age(const void *left, const void *right)
{
    uint64_t number;
    const char *id;
    int64_t a = 0, b = 0;
    (void)cf_archive_kept(left, &number, &id, &a);
    (void)cf_archive_kept(right, &number, &id, &b);
    return a < b ? -1 : a > b;
}

static void restore_archive(struct cf_server *server, const struct records *records, const struct journals *journals)
{
    size_t count;
    int64_t now_ns = cf_clock_now().mono_ns;
    const struct cf_vault_record *r = of_kind(records, CF_VAULT_ARCHIVE, &count);
    qsort(records->all + (r - records->all), count, sizeof *r, by_age);
    for (size_t i = 0; i < count; i++) {
        uint64_t number;
        const char *id;
        int64_t since_ns;
        cf_vault_ref ref = r[i].ref;
        struct cf_journal *journal = cf_archive_kept(&r[i], &number, &id, &since_ns) ? journal_of(journals, number) : NULL;
        const struct cf_tomb *tomb = journal != NULL ? cf_tombs_find(server->tombs, id, now_ns) : NULL;
        if (tomb != NULL) {
            cf_sessions_close_journal(journal, tomb);
            cf_archive_add(server->archive, id, journal, since_ns);
        }
        cf_vault_drop(server->keep.vault, &ref);        /* it has another by now */
    }
}

/* Recording it twice changes nothing. */
static void record_again(void *arg, const struct cf_tomb *tomb)
{
    struct cf_server *server = arg;
    cf_ledger_ended(server->ledger, tomb);
}

/* The ledger learns who is alive, and what the dead had buried but maybe not written. */
static int open_ledger(struct cf_server *server, struct cf_error *error)
{
    uint32_t count = cf_core_count(server->core), n = 0;
    struct cf_session *rows = calloc(count + 1, sizeof *rows);
    const char **ids = calloc(count + cf_tombs_count(server->tombs) + 1, sizeof *ids);
    int code = rows != NULL && ids != NULL ? 0 : cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    size_t cursor = 0, ended = 0;
    cf_handle handle;
    while (code == 0 && n < count && cf_core_next(server->core, &cursor, &handle))
        if (cf_core_get(server->core, handle, 0, &rows[n])) {
            ids[n] = rows[n].id;
            n++;
        }
    if (code == 0) {
        ended = cf_tombs_ids(server->tombs, ids + n);
        code = cf_records_open(server, ids, n + ended, error);
    }
    free(rows);
    free(ids);
    if (code == 0)
        cf_tombs_each(server->tombs, (size_t)server->settings.ledger_queue / 2, record_again, server);
    return code;
}

int cf_recover_sessions(struct cf_server *server, struct cf_error *error)
{
    struct records records = { 0 };
    struct journals journals = { 0 };
    if (server->heirs.servers == 0)
        return cf_records_open(server, NULL, 0, error);
    if (read_records(server->keep.vault, &records) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for what the last server left");
    restore_journals(server, &records, &journals);
    restore_tombs(server, &records);
    restore_sessions(server, &records);
    restore_shells(server, &records, &journals);
    restore_archive(server, &records, &journals);
    for (size_t i = 0; i < journals.count; i++)
        cf_journal_unref(&journals.all[i]);             /* who has none but this is nobody's */
    free(journals.all);
    free(records.all);
    int code = open_ledger(server, error);
    cf_shells_clean(server->shells);
    cf_shells_replay(server->shells, cf_vault_hand(server->keep.vault));
    cf_sessions_resume(server->sessions);
    cf_log(CF_LOG_INFO, "server %u took %u sessions over", server->heirs.servers + 1, cf_core_count(server->core));
    return code;
}

/* ---- listeners ---- */

void cf_recover_listeners(struct cf_server *server, struct cf_listeners *ret)
{
    struct cf_heir *own = cf_heirs_find(&server->heirs, 0);
    ret->count = 0;
    for (uint32_t i = 0; i < CF_LISTEN_MAX; i++) {
        int fd = cf_heir_take(own, CF_TAG_LISTENER, i);
        if (fd >= 0)
            ret->fds[ret->count++] = fd;
    }
}

void cf_recover_keep_listeners(struct cf_server *server)
{
    struct cf_listeners all;
    cf_http_listeners(server->http, &all);
    for (uint32_t i = 0; i < all.count; i++) {
        const struct cf_keep_fd fd = { CF_TAG_LISTENER, i, all.fds[i] };
        cf_keep_hold(&server->keep, 0, &fd, 1);
    }
}

void cf_recover_drop_listeners(struct cf_server *server)
{
    for (uint32_t i = 0; i < CF_LISTEN_MAX; i++)
        cf_keep_drop(&server->keep, 0, CF_TAG_LISTENER, i);
}

void cf_recover_done(struct cf_server *server)
{
    cf_heirs_free(&server->heirs);
}
