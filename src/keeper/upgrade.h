/* upgrade.h: the program on the disk takes the server's place, and gives it back when it does not serve. */
#ifndef CURFEW_KEEPER_UPGRADE_H
#define CURFEW_KEEPER_UPGRADE_H

#include "keeper/context.h"

/* Tells the server to leave.  `who` is for the log.  Nothing happens while there is no server, one is under way, or the keeper ends. */
void cf_upgrade_begin(struct cf_keeper *k, const char *who);
/* The server has gone, in whatever way.  True: that belongs to an upgrade, and what is next is planned. */
bool cf_upgrade_after(struct cf_keeper *k, const char *how);
/* A server serves. */
void cf_upgrade_served(struct cf_keeper *k);
/* Which program is to be started. */
enum cf_start cf_upgrade_start(const struct cf_keeper *k);
void cf_upgrade_turn(struct cf_keeper *k);

#endif
