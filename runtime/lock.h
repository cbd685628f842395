/* One process at a time in a folder: flock on DIR/.lock. The system gives the lock of a killed process back. */
#ifndef CLN_LOCK_H
#define CLN_LOCK_H

#include <stdbool.h>

#include "error.h"

typedef struct cln_lock {
    int file; /* descriptor of DIR/.lock */
    bool held;
} cln_lock;

/* Locks DIR/.lock, makes it where need be, and writes our pid into it, for the message that others get. The folder is
 * there. CLN_ERR_BUSY says who holds it and what to do; CLN_ERR_IO. *lock begins as {0}. */
int cln_lock_take(cln_lock *lock, const char *dir, cln_error *err);
void cln_lock_drop(cln_lock *lock); /* one that is not held is allowed */

#endif
