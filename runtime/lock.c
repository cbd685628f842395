#include "lock.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

static int busy(const cln_lock *lock, const char *dir, cln_error *err)
{
    char text[32] = "", who[64] = "";
    char *end = text;
    const ssize_t n = pread(lock->file, text, sizeof text - 1, 0);
    const long pid = n > 0 ? strtol(text, &end, 10) : 0;
    if (end != text && *end == '\n' && pid > 0)
        snprintf(who, sizeof who, " (pid %ld)", pid);
    return CLN_FAIL(
        err, CLN_ERR_BUSY,
        "another process%s is training into %s: wait for its end, or choose another --out", who,
        dir);
}

static int write_pid(const cln_lock *lock, const char *path, cln_error *err)
{
    char text[32];
    const int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(lock->file, 0) != 0 || pwrite(lock->file, text, (size_t)n, 0) != n)
        return cln_file_error(err, "cannot write", path, errno);
    return CLN_OK;
}

int cln_lock_take(cln_lock *lock, const char *dir, cln_error *err)
{
    char path[CLN_PATH_MAX];
    int rc = cln_path_join(path, sizeof path, dir, ".lock", err);
    if (rc)
        return rc;
    lock->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock->file < 0)
        return cln_file_error(err, "cannot write", path, errno);
    if (flock(lock->file, LOCK_EX | LOCK_NB) != 0)
        rc = errno == EWOULDBLOCK ? busy(lock, dir, err)
                                  : cln_file_error(err, "cannot lock", path, errno);
    else
        rc = write_pid(lock, path, err);
    if (rc)
        close(lock->file);
    lock->held = !rc;
    return rc;
}

/* The file stays: removing it would let two processes lock two files of the same name. */
void cln_lock_drop(cln_lock *lock)
{
    if (!lock->held)
        return;
    close(lock->file);
    lock->held = false;
}
