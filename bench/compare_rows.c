/* The comparison itself; compare.c is the command. */
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"
#include "statistics.h"
#include "stats.h"

const char *const cln_bench_verdicts[CLN_BENCH_VERDICTS] = {
    "slower", "faster", "same", "other batch", "only in A", "only in B"};

/* ---- rows of a side ---------------------------------------------------------------------- */

/* Rows of that name that have samples, into rows (n of the side); their number. */
static int gather(const cln_bench_side *side, const char *name, const cln_bench_row **rows)
{
    int n = 0;
    for (int i = 0; i < side->n; i++) {
        const cln_bench_row *row = cln_bench_report_find(&side->reports[i], name);
        if (row && row->n_samples > 0)
            rows[n++] = row;
    }
    return n;
}

static double block_quantile(const cln_bench_blocks *b, double q, double *scratch)
{
    for (int i = 0; i < b->n; i++)
        scratch[i] = b->samples[i].value;
    return cln_bench_quantile(scratch, b->n, q);
}

static int compare_blocks(const cln_bench_blocks *a, const cln_bench_blocks *b, cln_bench_change *c,
                          cln_error *err)
{
    double *values = malloc(((size_t)a->n + (size_t)b->n) * sizeof *values);
    if (!values)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    c->n_a = a->n;
    c->n_b = b->n;
    c->a = block_quantile(a, 0.5, values);
    c->a_p10 = block_quantile(a, 0.1, values);
    c->b = block_quantile(b, 0.5, values + a->n);
    c->b_p10 = block_quantile(b, 0.1, values + a->n);
    c->p = cln_bench_rank_test(values, a->n, values + a->n, b->n);
    free(values);
    double p_rounds = 1;
    const int rc = cln_bench_ratio_apart(b, a, 0.95, &c->interval, &p_rounds, err);
    c->p = fmax(c->p, p_rounds);
    return rc;
}

static int compare_row(const cln_bench_row *const *a, int n_a, const cln_bench_row *const *b,
                       int n_b, cln_bench_change *c, cln_error *err)
{
    cln_bench_blocks blocks_a = {0}, blocks_b = {0};
    for (int i = 0; i < n_a + n_b; i++)
        if ((i < n_a ? a[i] : b[i - n_a])->batch != a[0]->batch) {
            c->verdict = CLN_BENCH_APART;
            return CLN_OK;
        }
    c->verdict = CLN_BENCH_SAME; /* until all p are known */
    int rc = cln_bench_blocks_new(a, n_a, &blocks_a, err);
    if (!rc)
        rc = cln_bench_blocks_new(b, n_b, &blocks_b, err);
    if (!rc)
        rc = compare_blocks(&blocks_a, &blocks_b, c, err);
    cln_bench_blocks_clear(&blocks_a);
    cln_bench_blocks_clear(&blocks_b);
    return rc;
}

/* ---- the list of all rows ---------------------------------------------------------------- */

typedef struct work {
    const cln_bench_side *a, *b;
    const cln_bench_row **rows; /* (a->n + b->n) scratch */
    const regex_t *filter;      /* NULL: all */
    cln_bench_comparison *out;
} work;

static bool listed(const cln_bench_side *side, int before, const char *name)
{
    for (int i = 0; i < before; i++)
        if (cln_bench_report_find(&side->reports[i], name))
            return true;
    return false;
}

static int add_row(work *w, const char *name, cln_error *err)
{
    const int n_a = gather(w->a, name, w->rows), n_b = gather(w->b, name, w->rows + n_a);
    cln_bench_change *c = &w->out->changes[w->out->n];
    if (n_a + n_b == 0 || (w->filter && regexec(w->filter, name, 0, NULL, 0) != 0))
        return CLN_OK;
    *c = (cln_bench_change){.a = NAN, .b = NAN, .a_p10 = NAN, .b_p10 = NAN, .p = NAN};
    c->interval = (cln_bench_interval){NAN, NAN, NAN};
    snprintf(c->name, sizeof c->name, "%s", name);
    c->verdict = n_b == 0 ? CLN_BENCH_ONLY_A : CLN_BENCH_ONLY_B;
    w->out->n++;
    return n_a > 0 && n_b > 0 ? compare_row(w->rows, n_a, w->rows + n_a, n_b, c, err) : CLN_OK;
}

/* All rows of A in their order, then those that only B has. */
static int add_rows(work *w, cln_error *err)
{
    int rc = CLN_OK;
    for (int s = 0; s < 2; s++) {
        const cln_bench_side *side = s ? w->b : w->a;
        for (int i = 0; i < side->n && !rc; i++)
            for (int k = 0; k < side->reports[i].n_rows && !rc; k++) {
                const char *name = side->reports[i].rows[k].name;
                if (!listed(side, i, name) && !(s && listed(w->a, w->a->n, name)))
                    rc = add_row(w, name, err);
            }
    }
    return rc;
}

/* ---- verdicts ---------------------------------------------------------------------------- */

static cln_bench_verdict judge(const cln_bench_change *c, const cln_bench_threshold *t)
{
    const double more = 1 + t->min_effect;
    if (!(c->p < t->alpha))
        return CLN_BENCH_SAME;
    if (c->b >= more * c->a && c->b_p10 >= more * c->a_p10)
        return CLN_BENCH_SLOWER;
    if (c->a >= more * c->b && c->a_p10 >= more * c->b_p10)
        return CLN_BENCH_FASTER;
    return CLN_BENCH_SAME;
}

/* Corrects the p of all rows compared, and says what they come to. */
static int judge_all(cln_bench_comparison *out, const cln_bench_threshold *t, cln_error *err)
{
    double *p = malloc((size_t)(out->n > 0 ? out->n : 1) * sizeof *p);
    if (!p)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    int m = 0, k = 0;
    for (int i = 0; i < out->n; i++)
        if (out->changes[i].verdict == CLN_BENCH_SAME)
            p[m++] = out->changes[i].p;
    const int rc = cln_stats_holm(p, m, p, err);
    for (int i = 0; i < out->n && !rc; i++) {
        cln_bench_change *c = &out->changes[i];
        if (c->verdict == CLN_BENCH_SAME) {
            c->p = p[k++];
            c->verdict = judge(c, t);
            c->too_few = m * cln_bench_rank_test_least(c->n_a, c->n_b) >= t->alpha;
            out->too_few += c->too_few && c->verdict == CLN_BENCH_SAME;
        }
        out->count[c->verdict]++;
    }
    free(p);
    if (!rc && m == 0 && out->count[CLN_BENCH_APART] > 0)
        return CLN_FAIL(err, CLN_ERR_DATA, "the rows on both sides are of other batches, all %d",
                        out->count[CLN_BENCH_APART]);
    if (!rc && m == 0)
        return CLN_FAIL(err, CLN_ERR_DATA, "no row stands on both sides%s",
                        t->filter ? " and matches the filter" : "");
    return rc;
}

typedef struct placed {
    cln_bench_change change;
    int at;
} placed;

static int worst_first(const void *x, const void *y)
{
    const placed *a = x, *b = y;
    const int by_verdict = (int)a->change.verdict - (int)b->change.verdict;
    if (by_verdict || a->change.verdict > CLN_BENCH_FASTER)
        return by_verdict ? by_verdict : a->at - b->at;
    const double p = a->change.interval.ratio, q = b->change.interval.ratio;
    const int ascending = p > q ? 1 : p < q ? -1 : b->at - a->at;
    return a->change.verdict == CLN_BENCH_SLOWER ? -ascending : ascending;
}

static int sort_changes(cln_bench_comparison *out, cln_error *err)
{
    placed *order = malloc((size_t)out->n * sizeof *order);
    if (!order)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    for (int i = 0; i < out->n; i++)
        order[i] = (placed){out->changes[i], i};
    qsort(order, (size_t)out->n, sizeof *order, worst_first);
    for (int i = 0; i < out->n; i++)
        out->changes[i] = order[i].change;
    free(order);
    return CLN_OK;
}

static int compile_filter(const char *text, regex_t *filter, cln_error *err)
{
    char why[128];
    const int code = regcomp(filter, text, REG_EXTENDED | REG_NOSUB);
    if (code == 0)
        return CLN_OK;
    regerror(code, filter, why, sizeof why);
    return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--filter: '%s': %s", text, why);
}

int cln_bench_compare_sides(const cln_bench_side *a, const cln_bench_side *b,
                            const cln_bench_threshold *t, cln_bench_comparison *out, cln_error *err)
{
    regex_t filter;
    size_t most = 1;
    *out = (cln_bench_comparison){0};
    int rc = t->filter ? compile_filter(t->filter, &filter, err) : CLN_OK;
    if (rc)
        return rc;
    for (int i = 0; i < a->n + b->n; i++)
        most += (size_t)(i < a->n ? a->reports[i] : b->reports[i - a->n]).n_rows;
    work w = {.a = a, .b = b, .filter = t->filter ? &filter : NULL, .out = out};
    w.rows = malloc((size_t)(a->n + b->n + 1) * sizeof *w.rows);
    out->changes = calloc(most, sizeof *out->changes);
    if (!w.rows || !out->changes)
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    if (!rc)
        rc = add_rows(&w, err);
    if (!rc)
        rc = judge_all(out, t, err);
    if (!rc)
        rc = sort_changes(out, err);
    free(w.rows);
    if (t->filter)
        regfree(&filter);
    if (rc)
        cln_bench_comparison_clear(out);
    return rc;
}

void cln_bench_comparison_clear(cln_bench_comparison *c)
{
    free(c->changes);
    *c = (cln_bench_comparison){0};
}

/* ---- contexts ---------------------------------------------------------------------------- */

static void text_differs(FILE *f, const char *what, const char *path_a, const char *a,
                         const char *path_b, const char *b)
{
    if (strcmp(a, b) != 0)
        fprintf(f, "%s differs: %s (%s), %s (%s)\n", what, a[0] ? a : "none", path_a,
                b[0] ? b : "none", path_b);
}

static void number_differs(FILE *f, const char *what, const char *path_a, double a,
                           const char *path_b, double b, double allowed)
{
    if (fabs(a - b) > allowed)
        fprintf(f, "%s differs: %.3g (%s), %.3g (%s)\n", what, a, path_a, b, path_b);
}

/* Load counts by half a core; peaks, which are measured anew each time, by a tenth. */
static void contexts_differ(FILE *f, const char *path_a, const cln_bench_context *a,
                            const char *path_b, const cln_bench_context *b)
{
    text_differs(f, "device", path_a, a->device, path_b, b->device);
    text_differs(f, "platform", path_a, a->platform, path_b, b->platform);
    text_differs(f, "driver", path_a, a->driver, path_b, b->driver);
    text_differs(f, "OpenCL", path_a, a->opencl, path_b, b->opencl);
    text_differs(f, "host", path_a, a->host, path_b, b->host);
    text_differs(f, "version", path_a, a->program, path_b, b->program);
    text_differs(f, "commit", path_a, a->commit, path_b, b->commit);
    text_differs(f, "compiler", path_a, a->compiler, path_b, b->compiler);
    number_differs(f, "compute units", path_a, a->compute_units, path_b, b->compute_units, 0.5);
    number_differs(f, "load", path_a, a->load[0], path_b, b->load[0], 0.5);
    if (a->peaks.flops > 0 && b->peaks.flops > 0)
        number_differs(f, "peak in GFLOP/s", path_a, 1e-9 * a->peaks.flops, path_b,
                       1e-9 * b->peaks.flops, 1e-10 * a->peaks.flops);
}

int cln_bench_context_differences(const cln_bench_side *a, const cln_bench_side *b, char **out,
                                  cln_error *err)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    for (int i = 1; i < a->n + b->n && f; i++) {
        const cln_bench_side *side = i < a->n ? a : b;
        const int k = i < a->n ? i : i - a->n;
        contexts_differ(f, a->paths[0], &a->reports[0].context, side->paths[k],
                        &side->reports[k].context);
    }
    if (!f || fclose(f) != 0) {
        free(text);
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    }
    *out = text;
    return CLN_OK;
}
