/* ledger_audit.c: what is recorded of decisions and changes. */
#include "server/ledger.h"

#include <stdio.h>
#include <string.h>

#define VALUE_BYTES 4096

/* Who decided, where nobody asked. */
static const char *decider(enum cf_reason reason)
{
    switch (reason) {
    case CF_REASON_IDLE:
    case CF_REASON_AGE: return "sweep";
    case CF_REASON_CLOSED:
    case CF_REASON_FAILED: return "session";
    case CF_REASON_LIMIT: return "emergency cleanup";
    case CF_REASON_SHUTDOWN: return "shutdown";
    case CF_REASON_LOST: return "keeper";
    default: return "";
    }
}

void cf_ledger_audit_end(struct cf_ledger *ledger, const char *id, enum cf_reason reason, const char *evidence)
{
    struct cf_audit audit = { .action = "end" };
    bool asked = reason == CF_REASON_REQUESTED || reason == CF_REASON_IDLE || reason == CF_REASON_AGE;
    if (ledger == NULL)
        return;
    /* A sweep that somebody asked for is theirs; what an emergency takes is not the doing of whoever creates. */
    if (!asked || !cf_ledger_has_by(ledger))
        snprintf(audit.by, sizeof audit.by, "%s", decider(reason));
    snprintf(audit.session_id, sizeof audit.session_id, "%s", id);
    snprintf(audit.detail, sizeof audit.detail, "%s: %.160s", cf_reason_name(reason), evidence);
    cf_ledger_audit(ledger, &audit);
}

static void write_value(const struct cf_settings *s, const struct cf_setting *row, char *ret, size_t size)
{
    struct cf_buf text;
    cf_buf_init(&text, VALUE_BYTES);
    cf_settings_value(s, row, &text);
    snprintf(ret, size, "%s", text.data != NULL ? text.data : "");
    cf_buf_free(&text);
}

void cf_ledger_audit_settings(struct cf_ledger *ledger, const struct cf_settings *old, const struct cf_settings *now)
{
    const struct cf_setting *row;
    for (size_t i = 0; ledger != NULL && (row = cf_setting_row(i)) != NULL; i++) {
        struct cf_audit audit = { .action = "setting" };
        if (row->when != CF_SETTING_NOW)
            continue;
        write_value(old, row, audit.old, sizeof audit.old);
        write_value(now, row, audit.value, sizeof audit.value);
        if (strcmp(audit.old, audit.value) == 0)
            continue;
        snprintf(audit.name, sizeof audit.name, "%s", row->name);
        cf_ledger_audit(ledger, &audit);
    }
}
