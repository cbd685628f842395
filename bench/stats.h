/* Statistics behind comparisons, beyond what bench.h offers: samples by round, and the corrections. */
#ifndef CLN_BENCH_STATS_H
#define CLN_BENCH_STATS_H

#include "bench.h"

/* For qsort: doubles, ascending. */
int cln_bench_by_value(const void *a, const void *b);

typedef struct cln_bench_sample {
    double value;
    int round;
} cln_bench_sample;

/* Samples of a row, or of the same row in several runs. */
typedef struct cln_bench_blocks {
    cln_bench_sample *samples; /* owned; by value, ascending */
    int *sizes;                /* owned; (n_rounds) samples in each round, at least 1 */
    int n, n_rounds;
} cln_bench_blocks;

/* Rounds of the second row follow those of the first, and so on. Where there is but one round, each sample
 * counts as one. At least one sample in all. CLN_ERR_MEMORY, CLN_ERR_ARGUMENT. Goes with clear. */
int cln_bench_blocks_new(const cln_bench_row *const *rows, int n_rows, cln_bench_blocks *out,
                         cln_error *err);
void cln_bench_blocks_clear(cln_bench_blocks *b);

/* As cln_bench_ratio for measurements that did not run side by side: the rounds of a and of b are drawn
 * independently. *p (may be NULL) is the two-sided chance of such a ratio where the true one is 1: Student's t
 * with the spread of the draws' logarithms, and as many degrees of freedom as there are rounds less two. 1 where
 * a side has a single sample. CLN_ERR_MEMORY. */
int cln_bench_ratio_apart(const cln_bench_blocks *a, const cln_bench_blocks *b, double confidence,
                          cln_bench_interval *out, double *p, cln_error *err);

/* The smallest p that cln_bench_rank_test can give for so many samples. */
double cln_bench_rank_test_least(int n_a, int n_b);

#endif
