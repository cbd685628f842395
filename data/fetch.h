/* Downloading the official archive of CIFAR-10 into the cache folder. */
#ifndef CLN_FETCH_H
#define CLN_FETCH_H

#include "dataset.h"

#define CLN_FETCH_URL "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
#define CLN_FETCH_MD5 "c32a1d4ab5d03f1284b67883e8d87530"

typedef struct cln_fetch_options {
    const char *url; /* http or https; NULL: CLN_FETCH_URL */
    const char *md5; /* 32 hexadecimal digits; NULL: CLN_FETCH_MD5 */
    const char *dir; /* made where it is missing; NULL: cln_data_cache_dir */
    /* Called now and then with bytes there and bytes in all (0: not known yet), from the calling
     * thread; a result other than 0 stops the download. May be NULL. */
    int (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
} cln_fetch_options;

typedef struct cln_fetch_result {
    char path[CLN_DATA_MAX_PATH]; /* dir/cifar-10-binary.tar.gz */
    uint64_t bytes;               /* its size */
    uint64_t resumed_from;        /* bytes that an earlier, interrupted download had left */
    bool present; /* it was there already, with the right MD5: nothing was downloaded */
} cln_fetch_result;

/* Downloads to dir/cifar-10-binary.tar.gz.part, continuing what is there, verifies the MD5 sum,
 * syncs and renames. An earlier file of the final name stays untouched until then. What was
 * received so far is kept when the download is interrupted, removed when the sum differs (after one
 * more attempt from the start, where it was continued). Errors: CLN_ERR_ARGUMENT (url, md5),
 * CLN_ERR_IO (folder, disk full), CLN_ERR_NETWORK (no connection, HTTP status, interrupted,
 * stopped), CLN_ERR_DATA (MD5), CLN_ERR_BUSY (another fetch is at work). */
int cln_fetch(const cln_fetch_options *options, cln_fetch_result *result, cln_error *err);

#endif
