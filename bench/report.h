/* What the writers and the reader of reports share. */
#ifndef CLN_BENCH_REPORT_H
#define CLN_BENCH_REPORT_H

#include <jansson.h>

#include "bench.h"

enum {
    CLN_BENCH_MAX_FILE = 32 << 20, /* bytes of a report that is read */
    CLN_BENCH_MAX_ROWS = 10000,
    CLN_BENCH_MAX_SAMPLES = 1000000, /* of a row */
    CLN_BENCH_MAX_KERNELS = 1000     /* of a row */
};
#define CLN_BENCH_FORMAT "clnorm bench 1"

/* Writes n bytes to the path, atomically, or to stdout where it is "-". CLN_ERR_IO. */
int cln_bench_put(const char *path, const char *bytes, size_t n, cln_error *err);

/* A cell of CSV: quoted where RFC 4180 wants it. cln_bench_csv_number leaves the cell empty where x is not
 * finite. Both put a comma before, unless it is the first of its line. */
void cln_bench_csv_text(FILE *f, bool first, const char *text);
void cln_bench_csv_number(FILE *f, double x);

/* JSON of a text that may be no UTF-8 or hold control characters, which become '?'; and of a number that may
 * not be finite: null. New references; NULL: no memory. */
json_t *cln_bench_json_text(const char *text);
json_t *cln_bench_json_number(double x);

#endif
