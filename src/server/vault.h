/* vault.h: what a server that dies leaves to the next: records in memory that both can map.
 *
 * A memfd, which the keeper holds as well.  A record is put as a whole: it is there when its block has been marked, by one store, so that a
 * server which dies between any two instructions leaves either the old record or the new one (or both for a moment; the later counts).  Single
 * words of a record may be changed in place.  Nothing is written to a disk: when the machine goes, so do the sessions.
 *
 * One thread.  All functions that take a vault do nothing, successfully, when it is NULL. */
#ifndef CURFEW_SERVER_VAULT_H
#define CURFEW_SERVER_VAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the longest record. */
#define CF_VAULT_RECORD_MAX (64u << 20)
/* Bytes that one read of a shell's statuses may take. */
#define CF_VAULT_HAND_MAX 8448u

enum cf_vault_kind { CF_VAULT_SERVER = 1, CF_VAULT_SESSION, CF_VAULT_SHELL, CF_VAULT_JOURNAL, CF_VAULT_SPOOL, CF_VAULT_EXEC, CF_VAULT_HEAD, CF_VAULT_ARCHIVE, CF_VAULT_TOMB, CF_VAULT_KINDS };

struct cf_vault;

/* Names a record for as long as it is not put anew or dropped; 0: none. */
typedef uint64_t cf_vault_ref;

struct cf_vault_record {
    cf_vault_ref ref;
    enum cf_vault_kind kind;
    uint64_t key;                       /* kind, key and number together name one record */
    uint32_t number;
    uint32_t len;
    void *data;                         /* aligned to 8 bytes; in the vault */
};

/* What was being read when the server died: bytes that are in no pipe any more, and of which nobody has taken note yet. */
struct cf_vault_hand {
    uint64_t key;                       /* of whom; 0: of nobody */
    uint32_t len;                       /* 0: not known */
    uint32_t pad;
    char bytes[CF_VAULT_HAND_MAX];
};

/* An empty one.  NULL and errno: no memory. */
struct cf_vault *cf_vault_new(void);
/* The one that an earlier server left; takes `fd` over, also when it fails.  NULL: it is none, or another build's, or no memory. */
struct cf_vault *cf_vault_open(int fd);
/* Unmaps it; what is in it stays for whoever has the descriptor. */
void cf_vault_free(struct cf_vault **vault);
int cf_vault_fd(const struct cf_vault *vault);

/* Puts a record in the place of the one that *ref names, which may be 0, and names it in *ref.  `len` may be 0.  False: no memory; then all is as before. */
bool cf_vault_put(struct cf_vault *vault, cf_vault_ref *ref, enum cf_vault_kind kind, uint64_t key, uint32_t number, const void *data, size_t len);
/* The same with zeros. */
bool cf_vault_make(struct cf_vault *vault, cf_vault_ref *ref, enum cf_vault_kind kind, uint64_t key, uint32_t number, size_t len);
/* Gives a record that was made under key 0 its own, by one store. */
void cf_vault_name(struct cf_vault *vault, cf_vault_ref ref, uint64_t key);
/* Drops the record, if *ref is not 0, and sets *ref to 0. */
void cf_vault_drop(struct cf_vault *vault, cf_vault_ref *ref);
/* Its bytes, valid until it is put anew or dropped; NULL when there is none. */
void *cf_vault_data(const struct cf_vault *vault, cf_vault_ref ref);
/* All records, in no order: *cursor is 0 at first; false at the end.  Records may be put and dropped on the way; whether one that is
 * put then is seen is open. */
bool cf_vault_next(const struct cf_vault *vault, uint64_t *cursor, struct cf_vault_record *ret);

/* A number that was never given before, from 1. */
uint64_t cf_vault_number(struct cf_vault *vault);
/* NULL without a vault. */
struct cf_vault_hand *cf_vault_hand(const struct cf_vault *vault);
/* Bytes of memory that it takes. */
size_t cf_vault_bytes(const struct cf_vault *vault);

#endif
