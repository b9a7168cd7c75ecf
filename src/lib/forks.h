/* forks.h: the tables of this process, so that the child of a fork gets them whole: nobody else is inside one at that
 * moment.
 *
 * What a thread was doing between two holds of the lock is not finished in the child: a session that it was asking
 * about or telling about stays as it is. */
#ifndef CURFEW_LIB_FORKS_H
#define CURFEW_LIB_FORKS_H

struct curfew_table;

void cf_forks_add(struct curfew_table *table);
void cf_forks_remove(struct curfew_table *table);

#endif
