/* clnorm bench peak: the device's ceilings (peak_measure.c) as a table and as rows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "cli/cli.h"

static const char help[] =
    "usage: clnorm bench peak [OPTION ...]\n"
    "\n"
    "Measures the device's ceilings: float32 multiply-adds per second (each counts as two operations), copy\n"
    "and read bandwidth over a ladder of working sets (bytes read and written; the working set is all\n"
    "buffers together), and what a kernel launch costs. The best of many samples counts, and every\n"
    "sample's result is checked. --min-time is the seconds in all.\n"
    "\n"
    "options:\n";

/* "256 KiB" */
static const char *size_text(double bytes, char out[16])
{
    const bool mib = bytes >= 1 << 20;
    snprintf(out, 16, "%.0f %s", bytes / (mib ? 1 << 20 : 1 << 10), mib ? "MiB" : "KiB");
    return out;
}

/* Three digits or more. */
static const char *rate_text(double giga, char out[16])
{
    if (giga < 0.1)
        snprintf(out, 16, "%.2g", giga);
    else
        snprintf(out, 16, "%.*f", giga < 10 ? 2 : giga < 1000 ? 1 : 0, giga);
    return out;
}

/* '=' up to the copy bandwidth, '|' at the read bandwidth, in BAR columns for `most`. */
static const char *bar_text(double copy, double read, double most, char out[64])
{
    enum { BAR = 46 };
    const int length = (int)lround(BAR * copy / most),
              mark = (int)fmax(0, lround(BAR * read / most) - 1.0);
    int end = 0;
    for (int i = 0; i < BAR; i++) {
        out[i] = i == mark ? '|' : i < length ? '=' : ' ';
        end = out[i] == ' ' ? end : i + 1;
    }
    out[end] = '\0';
    return out;
}

static void print_table(const cln_device_info *d, const cln_bench_peaks *p)
{
    char a[16], b[16], c[16], bar[64];
    double most = 0;
    for (int i = 0; i < p->n_bandwidth; i++)
        most = fmax(most, fmax(p->bandwidth[i].copy, p->bandwidth[i].read));
    printf("%s\n%s, driver %s; compute units: %u, floats in a vector: %u\n\n", d->name,
           d->platform_name, d->driver, d->compute_units, d->vector_width);
    printf("arithmetic   float32 multiply-add %16s GFLOP/s\n\n", rate_text(1e-9 * p->flops, a));
    printf("memory       working set  copy GB/s  read GB/s   copy ===   read |\n");
    for (int i = 0; i < p->n_bandwidth; i++)
        printf("             %11s  %9s  %9s   %s\n", size_text(p->bandwidth[i].bytes, a),
               rate_text(1e-9 * p->bandwidth[i].copy, b), rate_text(1e-9 * p->bandwidth[i].read, c),
               bar_text(p->bandwidth[i].copy, p->bandwidth[i].read, most, bar));
    printf("\nlaunch       one behind the other %16s us\n", rate_text(1e6 * p->launch, a));
    printf("             with a wait after each %14s us\n", rate_text(1e6 * p->round_trip, a));
}

/* One value as a row: the best time that was seen for so many operations or bytes. */
static int add_row(cln_bench_report *r, const cln_bench_options *o, const char *what, const char *direction, double seconds,
                   double flops, double bytes, cln_error *err)
{
    cln_bench_row row = {.flops = flops, .bytes = bytes, .per_round = 1, .repetitions = 1, .n_samples = 1, .event = NAN};
    cln_bench_row_name(&row, "peak", what, "-", direction);
    if (!cln_bench_wanted(o, row.name))
        return CLN_OK;
    row.samples = malloc(sizeof *row.samples);
    if (!row.samples)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    row.samples[0] = seconds;
    int rc = cln_bench_row_summarise(&row, err);
    if (!rc)
        rc = cln_bench_report_add(r, &row, err);
    cln_bench_row_clear(&row);
    return rc;
}

static int add_rows(cln_bench_report *r, const cln_bench_options *o, cln_error *err)
{
    const cln_bench_peaks *p = &r->context.peaks;
    int rc = add_row(r, o, "fma", "float32", 1e9 / p->flops, 1e9, 0, err);
    for (int i = 0; i < p->n_bandwidth && !rc; i++) {
        const double bytes = p->bandwidth[i].bytes;
        char what[32];
        snprintf(what, sizeof what, "%.0fKiB", bytes / 1024);
        rc = add_row(r, o, what, "copy", bytes / p->bandwidth[i].copy, 0, bytes, err);
        if (!rc)
            rc = add_row(r, o, what, "read", bytes / p->bandwidth[i].read, 0, bytes, err);
    }
    if (!rc)
        rc = add_row(r, o, "launch", "batched", p->launch, 0, 0, err);
    return rc ? rc : add_row(r, o, "launch", "waited", p->round_trip, 0, 0, err);
}

int cln_bench_peak(int argc, char **argv)
{
    cln_bench_options o = {.min_time = 2.5};
    cln_bench_report report = {.rows = NULL};
    cln_error err = {0};
    cln_device *dev = NULL;
    const int status = cln_bench_parse(argc, argv, &o, help, NULL, NULL, NULL);
    if (status >= 0)
        return status;
    if (o.model[0] || o.n_batches || o.n_norms || o.plot)
        return cln_cli_usage("bench peak", "--model, --batch, --norm, --plot: they have no part in it");
    int rc = cln_bench_open(&o, &dev, &err);
    if (!rc) {
        cln_bench_context_fill(&report.context, dev, argc, argv);
        rc = cln_bench_peaks_measure(dev, o.min_time, &report.context.peaks, &err);
    }
    if (!rc)
        rc = add_rows(&report, &o, &err);
    if (!rc && !report.n_rows)
        rc = CLN_FAIL(&err, CLN_ERR_ARGUMENT, "no row is left: --filter fits none");
    if (!rc && !cln_bench_quiet(&o))
        print_table(&dev->info, &report.context.peaks);
    if (!rc)
        rc = cln_bench_write(&report, &o, &err);
    cln_bench_report_clear(&report);
    cln_bench_close(dev);
    return rc ? cln_cli_fail(&err) : CLN_EXIT_OK;
}
