/* A row of a report: its name, what its samples come to, and how it stands against the ceilings. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stats.h"

void cln_bench_row_name(cln_bench_row *r, const char *view, const char *what, const char *norm,
                        const char *direction)
{
    snprintf(r->view, sizeof r->view, "%s", view ? view : "");
    snprintf(r->what, sizeof r->what, "%s", what ? what : "");
    snprintf(r->norm, sizeof r->norm, "%s", norm && *norm ? norm : "-");
    snprintf(r->direction, sizeof r->direction, "%s", direction ? direction : "");
    snprintf(r->name, sizeof r->name, "%s/%s/%s%s%s", r->view, r->what, r->norm,
             r->direction[0] ? "/" : "", r->direction);
}

/* sqrt(sum (x - mean)^2 / (n - 1)) / mean */
static double variation(const double *x, int n)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < n; i++)
        mean += x[i] / n;
    for (int i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    return n > 1 ? sqrt(squares / (n - 1)) / mean : NAN;
}

/* Of a few samples the medians say nothing. */
static double drift_of(const double *x, int n, double *scratch)
{
    enum { LEAST = 10 };
    if (n < LEAST)
        return 0;
    const double a = cln_bench_median(x, n / 2, scratch), b = cln_bench_median(x + n - n / 2, n / 2, scratch);
    return fabs(b / a - 1);
}

int cln_bench_row_summarise(cln_bench_row *r, cln_error *err)
{
    const int n = r->n_samples;
    r->median = r->min = r->p10 = r->p90 = r->cv = NAN;
    r->drift = 0;
    for (int i = 0; i < n; i++)
        if (!(isfinite(r->samples[i]) && r->samples[i] > 0))
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "sample %d of %s is %g s", i + 1, r->name,
                            r->samples[i]);
    if (n < 1)
        return CLN_OK;
    double *sorted = malloc((size_t)n * sizeof *sorted);
    if (!sorted)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    memcpy(sorted, r->samples, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, cln_bench_by_value);
    r->per_round = r->per_round > 0 ? r->per_round : 1;
    r->repetitions = r->repetitions > 0 ? r->repetitions : 1;
    r->median = cln_bench_quantile(sorted, n, 0.5);
    r->min = sorted[0];
    r->p10 = cln_bench_quantile(sorted, n, 0.1);
    r->p90 = cln_bench_quantile(sorted, n, 0.9);
    r->cv = variation(r->samples, n);
    r->drift = drift_of(r->samples, n, sorted);
    free(sorted);
    return CLN_OK;
}

int cln_bench_row_append(cln_bench_row *r, const cln_bench_row *more, cln_error *err)
{
    double *grown = realloc(r->samples, (size_t)(r->n_samples + more->n_samples) * sizeof *grown);
    if (!grown)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory for samples");
    r->samples = grown;
    memcpy(r->samples + r->n_samples, more->samples, (size_t)more->n_samples * sizeof *grown);
    r->n_samples += more->n_samples;
    return cln_bench_row_summarise(r, err);
}

double cln_bench_bandwidth(const cln_bench_peaks *p, double working_set)
{
    int nearest = 0;
    double least = INFINITY;
    for (int i = 0; i < p->n_bandwidth; i++) {
        const double apart = fabs(log(fmax(working_set, 1) / p->bandwidth[i].bytes));
        if (apart < least) {
            least = apart;
            nearest = i;
        }
    }
    return p->n_bandwidth > 0 ? p->bandwidth[nearest].copy : 0;
}

void cln_bench_row_judge(cln_bench_row *r, const cln_bench_peaks *p)
{
    const double bandwidth = cln_bench_bandwidth(p, r->bytes);
    const double compute = r->flops > 0 && p->flops > 0 ? r->flops / p->flops : 0;
    const double memory = r->bytes > 0 && bandwidth > 0 ? r->bytes / bandwidth : 0;
    r->ceiling = fmax(compute, memory);
    r->bound = r->ceiling <= 0 ? "" : compute >= memory ? "flops" : "memory";
}

void cln_bench_row_clear(cln_bench_row *r)
{
    free(r->samples);
    free(r->kernels);
    *r = (cln_bench_row){0};
}
