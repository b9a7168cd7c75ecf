/* link.h: requests of the server, and reports to it. */
#ifndef CURFEW_KEEPER_LINK_H
#define CURFEW_KEEPER_LINK_H

#include "keeper/context.h"

/* Handles one packet.  0, or -1 when the peer has to be dropped.  Those of `fds` that it keeps are -1 then; it closes none. */
int cf_link_dispatch(struct cf_keeper *k, const void *data, size_t len, int *fds, size_t nfds);
/* Reads and handles what has come; sets link.lost when the peer is gone or has to go. */
void cf_link_read(struct cf_keeper *k);
/* Reads and handles what a server has said that is gone now. */
void cf_link_drain(struct cf_keeper *k);
/* 0, or -1 when the server does not read now or is gone. */
int cf_link_put(struct cf_keeper *k, const void *data, size_t len, const int *fds, size_t nfds);
/* Sends what is owed, as far as the server reads.  A session that no server will ask about any more is removed. */
void cf_link_flush(struct cf_keeper *k);
/* Notes that a report (CF_OWED_*) about the session has to go out.  It takes no memory: the session is the note. */
void cf_link_owe(struct cf_keeper *k, struct cf_held *held, uint32_t what);
/* One SIGNAL of the session was carried out. */
void cf_link_signaled(struct cf_keeper *k, struct cf_held *held);
/* The keeper ends: a session of which all is said waits for no FORGET. */
void cf_link_release(struct cf_keeper *k, struct cf_held *held);
/* Closes the connection; what is owed is found anew for the next one. */
void cf_link_drop(struct cf_keeper *k);

#endif
