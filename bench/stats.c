/* Statistics of samples, and what a row says about them. */
#include "stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "philox.h"
#include "statistics.h"

enum { DRAWS = 2000, SEED_LOW = 0x636c6e, SEED_HIGH = 0x62656e };

int cln_bench_by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double cln_bench_quantile(const double *sorted, int n, double q)
{
    if (n < 1)
        return NAN;
    const double at = fmin(fmax(q, 0), 1) * (n - 1);
    const int below = (int)at;
    if (below >= n - 1)
        return sorted[n - 1];
    return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]);
}

double cln_bench_median(const double *values, int n, double *scratch)
{
    if (n < 1)
        return NAN;
    memcpy(scratch, values, (size_t)n * sizeof *values);
    qsort(scratch, (size_t)n, sizeof *scratch, cln_bench_by_value);
    return cln_bench_quantile(scratch, n, 0.5);
}

/* ---- the bootstrap ----------------------------------------------------------------------- */

static int by_sample(const void *a, const void *b)
{
    return cln_bench_by_value(&((const cln_bench_sample *)a)->value,
                              &((const cln_bench_sample *)b)->value);
}

static int rounds_of(const cln_bench_row *r)
{
    const int per_round = r->per_round > 0 ? r->per_round : 1;
    return (r->n_samples + per_round - 1) / per_round;
}

int cln_bench_blocks_new(const cln_bench_row *const *rows, int n_rows, cln_bench_blocks *out,
                         cln_error *err)
{
    cln_bench_blocks b = {0};
    for (int i = 0; i < n_rows; i++) {
        b.n += rows[i]->n_samples;
        b.n_rounds += rounds_of(rows[i]);
    }
    if (b.n < 1)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%s has no samples",
                        n_rows > 0 ? rows[0]->name : "a side of a ratio");
    const bool single = b.n_rounds < 2;
    b.n_rounds = single ? b.n : b.n_rounds;
    b.samples = malloc((size_t)b.n * sizeof *b.samples);
    b.sizes = calloc((size_t)b.n_rounds, sizeof *b.sizes);
    if (!b.samples || !b.sizes) {
        cln_bench_blocks_clear(&b);
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    }
    for (int i = 0, k = 0, first = 0; i < n_rows; i++) {
        const int per_round = rows[i]->per_round > 0 && !single ? rows[i]->per_round : 1;
        for (int j = 0; j < rows[i]->n_samples; j++, k++) {
            b.samples[k] = (cln_bench_sample){rows[i]->samples[j], first + j / per_round};
            b.sizes[b.samples[k].round]++;
        }
        first += rounds_of(rows[i]);
    }
    qsort(b.samples, (size_t)b.n, sizeof *b.samples, by_sample);
    *out = b;
    return CLN_OK;
}

void cln_bench_blocks_clear(cln_bench_blocks *b)
{
    free(b->samples);
    free(b->sizes);
    *b = (cln_bench_blocks){0};
}

/* How often each round is drawn. The numbers depend on the count of rounds but not on the row: rows of one
 * measurement get the same rounds. */
static void draw_rounds(int draw, int rounds, unsigned side, int *counts)
{
    cln_philox words = {{0}};
    memset(counts, 0, (size_t)rounds * sizeof *counts);
    for (int i = 0; i < rounds; i++) {
        if (i % 4 == 0)
            words = cln_philox4x32((cln_u32)i / 4, (cln_u32)draw, (cln_u32)rounds,
                                   CLN_STREAM_BOOTSTRAP, SEED_LOW, SEED_HIGH + side);
        counts[cln_random_below(words.v[i % 4], (cln_u32)rounds)]++;
    }
}

/* Median of the samples, each as often as its round was drawn. */
static double drawn_median(const cln_bench_blocks *b, const int *counts)
{
    long total = 0, seen = 0;
    for (int i = 0; i < b->n_rounds; i++)
        total += (long)counts[i] * b->sizes[i];
    int i = 0;
    while ((seen += counts[b->samples[i].round]) <= (total - 1) / 2)
        i++;
    const double low = b->samples[i].value;
    while (seen <= total / 2)
        seen += counts[b->samples[++i].round];
    return 0.5 * (low + b->samples[i].value);
}

static double drawn_sum(const cln_bench_blocks *rows, int n, int draw, unsigned side, int *counts)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        if (i == 0 || rows[i].n_rounds != rows[i - 1].n_rounds)
            draw_rounds(draw, rows[i].n_rounds, side, counts);
        sum += drawn_median(&rows[i], counts);
    }
    return sum;
}

static double plain_sum(const cln_bench_blocks *rows, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const cln_bench_sample *s = rows[i].samples;
        sum += 0.5 * (s[(rows[i].n - 1) / 2].value + s[rows[i].n / 2].value);
    }
    return sum;
}

static double chance_of(double logarithm, const double *ratios, int freedom)
{
    double sum = 0, squares = 0;
    for (int d = 0; d < DRAWS; d++) {
        const double apart = log(ratios[d]) - logarithm;
        sum += apart;
        squares += apart * apart;
    }
    const double variance = (squares - sum * sum / DRAWS) / DRAWS;
    if (!(fabs(logarithm) > 1e-12)) /* also where there is no spread at all */
        return 1;
    return variance > 0 ? cln_stats_t_tails(logarithm / sqrt(variance), freedom) : 0;
}

/* The percentile interval. It needs no widening for few rounds, as that of a mean would: medians of drawn rounds
 * spread rather too far. */
static int bootstrap(const cln_bench_blocks *a, int n_a, const cln_bench_blocks *b, int n_b,
                     bool apart, double confidence, cln_bench_interval *out, double *p,
                     cln_error *err)
{
    int least = a[0].n_rounds, most = 0, all = 0;
    for (int i = 0; i < n_a + n_b; i++) {
        const int rounds = i < n_a ? a[i].n_rounds : b[i - n_a].n_rounds;
        least = rounds < least ? rounds : least;
        most = rounds > most ? rounds : most;
        all += rounds;
    }
    const double below = plain_sum(b, n_b);
    if (!(below > 0))
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "a ratio to a time of %g s", below);
    *out = (cln_bench_interval){plain_sum(a, n_a) / below, 0, INFINITY};
    *p = 1;
    if (least < 2) /* a single sample: it might be anything */
        return CLN_OK;
    double *ratios = malloc(DRAWS * sizeof *ratios);
    int *counts = malloc((size_t)most * sizeof *counts);
    int rc = ratios && counts ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    for (int d = 0; d < DRAWS && !rc; d++)
        ratios[d] = drawn_sum(a, n_a, d, 0, counts) / drawn_sum(b, n_b, d, apart ? 1 : 0, counts);
    if (!rc) {
        const double beyond = 0.5 * (1 - confidence);
        *p = chance_of(log(out->ratio), ratios, all - 2);
        qsort(ratios, DRAWS, sizeof *ratios, cln_bench_by_value);
        out->low = cln_bench_quantile(ratios, DRAWS, beyond);
        out->high = cln_bench_quantile(ratios, DRAWS, 1 - beyond);
    }
    free(ratios);
    free(counts);
    return rc;
}

int cln_bench_ratio_apart(const cln_bench_blocks *a, const cln_bench_blocks *b, double confidence,
                          cln_bench_interval *out, double *p, cln_error *err)
{
    double unused;
    return bootstrap(a, 1, b, 1, true, confidence, out, p ? p : &unused, err);
}

int cln_bench_ratio(const cln_bench_row *const *a, int n_a, const cln_bench_row *const *b, int n_b,
                    double confidence, cln_bench_interval *out, cln_error *err)
{
    if (n_a < 1 || n_b < 1 || !(confidence > 0 && confidence < 1))
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "a ratio of %d to %d rows at confidence %g", n_a,
                        n_b, confidence);
    double unused;
    const int n = n_a + n_b;
    cln_bench_blocks *blocks = calloc((size_t)n, sizeof *blocks);
    int rc = blocks ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    for (int i = 0; i < n && !rc; i++)
        rc = cln_bench_blocks_new(i < n_a ? &a[i] : &b[i - n_a], 1, &blocks[i], err);
    if (!rc)
        rc = bootstrap(blocks, n_a, blocks + n_a, n_b, false, confidence, out, &unused, err);
    for (int i = 0; i < n && blocks; i++)
        cln_bench_blocks_clear(&blocks[i]);
    free(blocks);
    return rc;
}

/* ---- tests ------------------------------------------------------------------------------- */

/* Two-sided p for a U that is so far `away` from its mean, with the continuity correction. */
static double rank_p(double away, double variance)
{
    return variance > 0 ? erfc(fmax(0, away - 0.5) / sqrt(2 * variance)) : 1;
}

double cln_bench_rank_test(const double *a, int n_a, const double *b, int n_b)
{
    if (n_a < 1 || n_b < 1)
        return 1;
    const size_t n = (size_t)n_a + (size_t)n_b;
    cln_bench_sample *all = malloc(n * sizeof *all);
    if (!all)
        return 1; /* says nothing, which is what "no evidence" means */
    for (size_t i = 0; i < n; i++)
        all[i] = i < (size_t)n_a ? (cln_bench_sample){a[i], 0}
                                 : (cln_bench_sample){b[i - (size_t)n_a], 1};
    qsort(all, n, sizeof *all, by_sample);
    double rank_sum = 0, ties = 0;
    for (size_t i = 0, end; i < n; i = end) {
        int from_a = 0;
        for (end = i; end < n && all[end].value == all[i].value; end++)
            from_a += all[end].round == 0;
        const double t = (double)(end - i);
        rank_sum += from_a * 0.5 * (double)(i + 1 + end);
        ties += t * t * t - t;
    }
    free(all);
    const double pairs = (double)n_a * n_b, m = (double)n;
    const double u = rank_sum - 0.5 * n_a * (n_a + 1.0);
    return rank_p(fabs(u - 0.5 * pairs), pairs / 12 * (m + 1 - ties / (m * (m - 1))));
}

double cln_bench_rank_test_least(int n_a, int n_b)
{
    const double pairs = (double)n_a * n_b;
    return rank_p(0.5 * pairs, pairs / 12 * (n_a + n_b + 1.0));
}
