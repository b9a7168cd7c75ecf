/* priority.h: what the loop does first.
 *
 * Output comes behind requests and what the keeper and shells say, so that a session that prints without end holds up no other; work
 * that nobody waits for comes when nothing else is to do.  Setting one fails on a loop without priorities, as in tests, and is ignored. */
#ifndef CURFEW_SERVER_PRIORITY_H
#define CURFEW_SERVER_PRIORITY_H

#define CF_PRIORITIES 5
#define CF_PRIORITY_OUTPUT 3            /* libevent's own default is the middle one, 2 */
#define CF_PRIORITY_IDLE 4

#endif
