/* Values out of JSON that may come from anywhere: every one is checked, and the first that is wrong is named with its
 * file and place. */
#ifndef CLN_JSON_READER_H
#define CLN_JSON_READER_H

#include "error.h"

#include <jansson.h>

/* Begins with path, place and err; after the first failure the functions below leave everything as it is. */
typedef struct cln_reader {
    const char *path;
    char place[192]; /* "row 3 (step/s8/bn/128)" */
    int rc;
    cln_error *err;
} cln_reader;

/* The object in the file, new reference; NULL after a failure (CLN_ERR_IO, CLN_ERR_DATA with the line, also for more
 * than `limit` bytes and for a key that is there twice; CLN_ERR_MEMORY). */
json_t *cln_reader_open(cln_reader *r, size_t limit);

/* CLN_ERR_DATA "path: place: text". */
void cln_reader_fail(cln_reader *r, const char *fmt, ...) CLN_PRINTF(2, 3);

/* A number in [low, high]; `what` names it. */
double cln_reader_check(cln_reader *r, const json_t *value, const char *what, double low,
                        double high);

/* Members of an object. number: `unknown` where it is null. text: without control characters, shorter than
 * `size`. list: at most `limit` elements, NULL after a failure. */
double cln_reader_number(cln_reader *r, const json_t *o, const char *key, double low, double high,
                         double unknown);
int cln_reader_int(cln_reader *r, const json_t *o, const char *key, int low, int high);
void cln_reader_text(cln_reader *r, const json_t *o, const char *key, char *out, size_t size);
const json_t *cln_reader_list(cln_reader *r, const json_t *o, const char *key, size_t limit);
const json_t *cln_reader_object(cln_reader *r, const json_t *o, const char *key);

#endif
