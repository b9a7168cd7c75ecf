/* counts.c: the table's numbers, all of one moment. */
#include "lib/lib.h"

#include <string.h>

void curfew_counts_get(struct curfew_table *table, struct curfew_counts *ret_counts, size_t size)
{
    cf_lock_take(&table->lock);
    const struct cf_counts *core = cf_core_counts(table->core);
    const struct cf_tally *tally = cf_core_tally(table->core);
    const struct cf_lib_counts *own = &table->counts;
    struct curfew_counts counts = {
        .sessions_created = core->sessions_created,
        .sessions_cleaned = core->sessions_cleaned,
        .sessions_active = cf_core_count(table->core),
        .sessions_starting = tally->unstarted,
        .sessions_refused = own->sessions_refused,
        .cleanup_runs = own->cleanup_runs,
        .cleanup_errors = own->cleanup_errors,
        .emergency_runs = own->emergency_runs,
        .ends_kept = own->ends_kept,
        .ends_spared = own->ends_spared,
        .memory_bytes = cf_core_bytes(table->core) + table->own_bytes,
    };
    memcpy(counts.ended, tally->ended, sizeof counts.ended);
    cf_lock_give(&table->lock);
    memset(ret_counts, 0, size);
    memcpy(ret_counts, &counts, size < sizeof counts ? size : sizeof counts);
}
