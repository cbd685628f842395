#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 5, MIN_PER_ROUND = 2, MAX_PER_ROUND = 200, MAX_REPETITIONS = 10000 };

/* Seconds of one repetition, from `repetitions` of them and a wait. */
static int take(cln_device *dev, cln_bench_case *c, int repetitions, double *seconds, cln_error *err)
{
    const double began = cln_now();
    int rc = CLN_OK;
    for (int i = 0; i < repetitions && !rc; i++)
        rc = c->run(c->arg, err);
    if (!rc)
        rc = cln_device_finish(dev, err);
    *seconds = (cln_now() - began) / repetitions;
    return rc;
}

/* A sample should last a twentieth of the row's time, and at least a millisecond: long against the clock and the
 * wait at its end. */
static int calibrate(cln_device *dev, cln_bench_case *c, double min_time, cln_error *err)
{
    const double target = fmax(1e-3, min_time / 20);
    const bool chosen = c->row.per_round > 0;
    double first = 0, seconds = 0;
    int repetitions = chosen ? c->row.repetitions : 1;
    int rc = take(dev, c, 1, &first, err);
    for (int i = 0; i < 4 && !rc; i++) {
        rc = take(dev, c, repetitions, &seconds, err);
        if (rc || chosen || repetitions * seconds >= 0.8 * target)
            break;
        repetitions = (int)fmin(MAX_REPETITIONS, ceil(target / seconds));
    }
    if (rc)
        return rc;
    const double wanted = ceil(min_time / (repetitions * seconds) / ROUNDS);
    c->row.first += fmax(0, first - seconds);
    c->row.repetitions = repetitions;
    if (!chosen)
        c->row.per_round = (int)fmin(MAX_PER_ROUND, fmax(MIN_PER_ROUND, wanted));
    c->row.n_samples = 0;
    c->row.samples = calloc((size_t)ROUNDS * c->row.per_round, sizeof *c->row.samples);
    return c->row.samples ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory for samples");
}

static int run_round(cln_device *dev, cln_bench_case *cases, int n, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; i < n && !rc; i++) {
        double ignored;
        rc = take(dev, &cases[i], 1, &ignored, err); /* the caches hold another case's data */
        for (int k = 0; k < cases[i].row.per_round && !rc; k++)
            rc = take(dev, &cases[i], cases[i].row.repetitions, &cases[i].row.samples[cases[i].row.n_samples++], err);
    }
    return rc;
}

/* Where the time goes, by the device's own clock. */
static int profile(cln_device *dev, cln_bench_case *c, cln_error *err)
{
    cln_profile_row *rows = NULL;
    size_t count = 0;
    const int times = (int)fmax(5, fmin(50, c->row.repetitions));
    int rc = cln_profile_start(dev, err);
    if (!rc)
        rc = take(dev, c, times, &c->row.profiled, err);
    if (!rc)
        rc = cln_profile_collect(dev, &rows, &count, err);
    const double between = cln_profile_between(dev);
    cln_profile_stop(dev);
    if (!rc && count && !(c->row.kernels = calloc(count + 1, sizeof *c->row.kernels)))
        rc = CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory for kernel times");
    double sum = 0, launches = 0;
    for (size_t i = 0; i < count && !rc; i++) {
        cln_bench_kernel *k = &c->row.kernels[c->row.n_kernels++];
        memcpy(k->name, rows[i].name, sizeof k->name);
        k->launches = (double)rows[i].launches / times;
        k->seconds = rows[i].seconds / times;
        sum += k->seconds;
        launches += k->launches;
    }
    if (!rc && count)
        c->row.kernels[c->row.n_kernels++] = (cln_bench_kernel){CLN_BENCH_BETWEEN, launches, between / times};
    if (!rc && !c->foreign)
        c->row.event = sum;
    free(rows);
    return rc;
}

static bool has_profiling(const cln_device *dev)
{
    cl_command_queue_properties properties = 0;
    clGetCommandQueueInfo(dev->queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL);
    return properties & CL_QUEUE_PROFILING_ENABLE;
}

int cln_bench_measure(cln_device *dev, const cln_bench_measurement *m, cln_bench_case *cases, int n, cln_error *err)
{
    int rc = m->begin_round ? m->begin_round(m->arg, err) : CLN_OK;
    if (!rc)
        rc = cln_device_finish(dev, err);
    for (int i = 0; i < n && !rc; i++)
        rc = calibrate(dev, &cases[i], m->min_time, err);
    for (int round = 0; round < ROUNDS && !rc; round++) {
        if (m->progress)
            m->progress(m->progress_arg, round, ROUNDS);
        rc = m->begin_round ? m->begin_round(m->arg, err) : CLN_OK;
        if (!rc)
            rc = run_round(dev, cases, n, err);
    }
    for (int i = 0; i < n && !rc; i++) {
        cases[i].row.event = NAN;
        if (has_profiling(dev))
            rc = profile(dev, &cases[i], err);
        if (!rc)
            rc = cln_bench_row_summarise(&cases[i].row, err);
    }
    return rc;
}
