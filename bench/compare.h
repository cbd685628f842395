/* Two sets of reports, row by row: what got slower or faster, beyond what chance and a busy machine explain. */
#ifndef CLN_BENCH_COMPARE_H
#define CLN_BENCH_COMPARE_H

#include "bench.h"

/* The runs of one side; samples of a row in several runs are pooled as further rounds. */
typedef struct cln_bench_side {
    const char *const *paths;        /* (n) */
    const cln_bench_report *reports; /* (n) */
    int n;
} cln_bench_side;

typedef enum {
    CLN_BENCH_SLOWER,
    CLN_BENCH_FASTER,
    CLN_BENCH_SAME,
    CLN_BENCH_APART, /* of another batch on the other side: not compared */
    CLN_BENCH_ONLY_A,
    CLN_BENCH_ONLY_B,
    CLN_BENCH_VERDICTS
} cln_bench_verdict;
extern const char *const cln_bench_verdicts[CLN_BENCH_VERDICTS]; /* "slower", ... */

/* A row is called slower or faster where all of these hold:
 *   - p is below alpha, by Holm over all rows compared. It is the larger of two: that of the rank test over all
 *     samples, and that of the ratio by a bootstrap over rounds, since samples of a round are not independent;
 *   - the medians differ by min_effect or more;
 *   - so do the lower deciles, and to the same side: interference on a shared machine lifts medians but hardly
 *     the fastest samples, and a real change moves both. */
typedef struct cln_bench_threshold {
    double min_effect;  /* 0.05: five percent */
    double alpha;       /* 0.05 */
    const char *filter; /* as cln_bench_options.filter */
} cln_bench_threshold;

typedef struct cln_bench_change {
    char name[128];
    cln_bench_verdict verdict;
    double a, b, a_p10, b_p10;   /* seconds; NAN where not compared, as all below */
    int n_a, n_b;                /* samples */
    cln_bench_interval interval; /* of b / a, 95 % */
    double p;                    /* corrected */
    bool too_few; /* so few samples that p cannot get below alpha among so many rows */
} cln_bench_change;

typedef struct cln_bench_comparison {
    cln_bench_change
        *changes; /* owned; slower rows, worst first; faster ones, best first; the others as in A */
    int n, count[CLN_BENCH_VERDICTS], too_few;
} cln_bench_comparison;

/* Rows without samples count as missing. CLN_ERR_ARGUMENT: the filter is no regular expression; CLN_ERR_DATA:
 * not a row is on both sides. */
int cln_bench_compare_sides(const cln_bench_side *a, const cln_bench_side *b,
                            const cln_bench_threshold *t, cln_bench_comparison *out,
                            cln_error *err);
void cln_bench_comparison_clear(cln_bench_comparison *c);

/* Lines, each with its newline, that say in what the runs' contexts differ: device, driver, versions, load,
 * peaks. "" where in nothing that matters. *out is the caller's to free. CLN_ERR_MEMORY. */
int cln_bench_context_differences(const cln_bench_side *a, const cln_bench_side *b, char **out,
                                  cln_error *err);

#endif
