/* Reports read back from JSON. Such a file may come from anywhere: every value is checked, and the first that
 * is wrong is named with its file and row. Members that we do not know are passed over. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json_reader.h"
#include "report.h"

/* ---- context ----------------------------------------------------------------------------- */

static void read_peaks(cln_reader *r, const json_t *o, cln_bench_peaks *p)
{
    p->flops = cln_reader_number(r, o, "flops", 0, 1e20, 0);
    p->launch = cln_reader_number(r, o, "launch", 0, 1e3, 0);
    p->round_trip = cln_reader_number(r, o, "round_trip", 0, 1e3, 0);
    const json_t *list = cln_reader_list(r, o, "bandwidth", CLN_BENCH_BANDWIDTHS);
    const int n = (int)json_array_size(list);
    for (int i = 0; i < n && !r->rc; i++) {
        const json_t *at = json_array_get(list, (size_t)i);
        p->bandwidth[i].bytes = cln_reader_number(r, at, "bytes", 1, 1e18, 1);
        p->bandwidth[i].copy = cln_reader_number(r, at, "copy", 0, 1e18, 0);
        p->bandwidth[i].read = cln_reader_number(r, at, "read", 0, 1e18, 0);
        if (i > 0 && p->bandwidth[i].bytes <= p->bandwidth[i - 1].bytes)
            cln_reader_fail(r, "the working sets of bandwidth do not ascend");
    }
    p->n_bandwidth = r->rc ? 0 : n;
}

static void read_context(cln_reader *r, const json_t *root, cln_bench_context *c)
{
    char format[32] = "";
    snprintf(r->place, sizeof r->place, "context");
    const json_t *o = cln_reader_object(r, root, "context");
    if (!r->rc && !json_is_string(json_object_get(o, "format")))
        cln_reader_fail(r, "no format: not a report of clnorm bench");
    cln_reader_text(r, o, "format", format, sizeof format);
    if (strcmp(format, CLN_BENCH_FORMAT) != 0)
        cln_reader_fail(r, "format is '%s', expected '%s'", format, CLN_BENCH_FORMAT);
    cln_reader_text(r, o, "date", c->date, sizeof c->date);
    cln_reader_text(r, o, "program", c->program, sizeof c->program);
    cln_reader_text(r, o, "commit", c->commit, sizeof c->commit);
    cln_reader_text(r, o, "host_name", c->host, sizeof c->host);
    cln_reader_text(r, o, "device", c->device, sizeof c->device);
    cln_reader_text(r, o, "platform", c->platform, sizeof c->platform);
    cln_reader_text(r, o, "driver", c->driver, sizeof c->driver);
    cln_reader_text(r, o, "opencl", c->opencl, sizeof c->opencl);
    cln_reader_text(r, o, "compiler", c->compiler, sizeof c->compiler);
    cln_reader_text(r, o, "command", c->command, sizeof c->command);
    c->compute_units = cln_reader_int(r, o, "compute_units", 0, 1 << 24);
    c->vector_width = cln_reader_int(r, o, "vector_width", 0, 1 << 16);
    const json_t *load = cln_reader_list(r, o, "load_avg", 3);
    if (load && json_array_size(load) != 3)
        cln_reader_fail(r, "load_avg has not 3 elements");
    for (size_t i = 0; i < 3 && !r->rc; i++) {
        const json_t *x = json_array_get(load, i);
        c->load[i] = json_is_null(x) ? NAN : cln_reader_check(r, x, "load_avg", 0, 1e6);
    }
    if (!r->rc)
        read_peaks(r, cln_reader_object(r, o, "peaks"), &c->peaks);
}

/* ---- rows -------------------------------------------------------------------------------- */

enum { LONGEST = 1000000000 }; /* seconds */

static void read_samples(cln_reader *r, const json_t *o, cln_bench_row *row)
{
    const json_t *list = cln_reader_list(r, o, "samples", CLN_BENCH_MAX_SAMPLES);
    const int n = (int)json_array_size(list);
    row->per_round = cln_reader_int(r, o, "per_round", n > 0 ? 1 : 0, CLN_BENCH_MAX_SAMPLES);
    row->repetitions = cln_reader_int(r, o, "repetitions_per_sample", n > 0 ? 1 : 0, LONGEST);
    if (r->rc || n == 0)
        return;
    row->samples = malloc((size_t)n * sizeof *row->samples);
    if (!row->samples) {
        r->rc = CLN_FAIL(r->err, CLN_ERR_MEMORY, "no memory to read %s", r->path);
        return;
    }
    row->n_samples = n;
    for (int i = 0; i < n && !r->rc; i++) {
        char what[32];
        snprintf(what, sizeof what, "sample %d", i + 1);
        row->samples[i] = cln_reader_check(r, json_array_get(list, (size_t)i), what, 1e-15, LONGEST);
    }
}

static void read_kernels(cln_reader *r, const json_t *o, cln_bench_row *row)
{
    const json_t *list = cln_reader_list(r, o, "kernels", CLN_BENCH_MAX_KERNELS);
    const int n = (int)json_array_size(list);
    if (r->rc || n == 0)
        return;
    row->kernels = calloc((size_t)n, sizeof *row->kernels);
    if (!row->kernels) {
        r->rc = CLN_FAIL(r->err, CLN_ERR_MEMORY, "no memory to read %s", r->path);
        return;
    }
    row->n_kernels = n;
    for (int i = 0; i < n && !r->rc; i++) {
        const json_t *at = json_array_get(list, (size_t)i);
        cln_reader_text(r, at, "name", row->kernels[i].name, sizeof row->kernels[i].name);
        row->kernels[i].launches = cln_reader_number(r, at, "launches", 0, 1e12, 0);
        row->kernels[i].seconds = cln_reader_number(r, at, "seconds", 0, LONGEST, 0);
    }
}

/* The statistics are computed from the samples; the file's have to be the same. */
static void check_summary(cln_reader *r, const json_t *o, cln_bench_row *row)
{
    const char *const keys[] = {"median", "min", "p10", "p90", "cv", "real_time"};
    if (r->rc)
        return;
    r->rc = cln_bench_row_summarise(row, r->err);
    const bool none = row->n_samples < 1;
    const double want[] = {row->median, row->min, row->p10,
                           row->p90,    row->cv,  none ? 0 : 1e6 * row->median};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && !r->rc; i++) {
        const double x = cln_reader_number(r, o, keys[i], 0, 1e6 * LONGEST, NAN);
        if (isnan(x) ? !isnan(want[i]) : !(fabs(x - want[i]) <= 1e-9 * (fabs(want[i]) + 1e-6)))
            cln_reader_fail(r, "%s is %g, but its samples give %g", keys[i], x, want[i]);
    }
}

static void read_ratio(cln_reader *r, const json_t *o, cln_bench_row *row)
{
    row->ratio = cln_reader_number(r, o, "ratio", 1e-12, 1e12, 0);
    row->ratio_low = cln_reader_number(r, o, "ratio_low", 0, 1e12, 0);
    row->ratio_high = cln_reader_number(r, o, "ratio_high", 0, 1e12, row->ratio > 0 ? INFINITY : 0);
    if (row->ratio_low > row->ratio_high)
        cln_reader_fail(r, "ratio_low is above ratio_high");
}

static void read_bound(cln_reader *r, const json_t *o, cln_bench_row *row)
{
    static const char *const bounds[] = {"", "flops", "memory"}; /* row->bound outlives the file */
    char text[16] = "";
    cln_reader_text(r, o, "bound", text, sizeof text);
    for (size_t i = 0; i < 3; i++)
        if (strcmp(text, bounds[i]) == 0)
            row->bound = bounds[i];
    if (!row->bound)
        cln_reader_fail(r, "bound is '%s', expected flops, memory or nothing", text);
}

static void read_row(cln_reader *r, const json_t *o, cln_bench_row *row)
{
    char unit[8] = "";
    cln_reader_text(r, o, "name", row->name, sizeof row->name);
    if (!row->name[0])
        cln_reader_fail(r, "name is empty");
    if (!r->rc) {
        const size_t n = strlen(r->place);
        snprintf(r->place + n, sizeof r->place - n, " (%s)", row->name);
    }
    cln_reader_text(r, o, "time_unit", unit, sizeof unit);
    if (strcmp(unit, "us") != 0)
        cln_reader_fail(r, "time_unit is '%s', expected us", unit);
    cln_reader_text(r, o, "view", row->view, sizeof row->view);
    cln_reader_text(r, o, "what", row->what, sizeof row->what);
    cln_reader_text(r, o, "norm", row->norm, sizeof row->norm);
    cln_reader_text(r, o, "direction", row->direction, sizeof row->direction);
    cln_reader_text(r, o, "shape", row->shape, sizeof row->shape);
    cln_reader_text(r, o, "note", row->note, sizeof row->note);
    row->batch = cln_reader_int(r, o, "batch", 0, LONGEST);
    row->flops = cln_reader_number(r, o, "flops", 0, 1e24, 0);
    row->bytes = cln_reader_number(r, o, "bytes", 0, 1e24, 0);
    row->event = cln_reader_number(r, o, "event", 0, LONGEST, NAN);
    row->profiled = cln_reader_number(r, o, "profiled", 0, LONGEST, 0);
    row->first = cln_reader_number(r, o, "first", -LONGEST, LONGEST, NAN);
    row->ceiling = cln_reader_number(r, o, "ceiling", 0, LONGEST, 0);
    read_bound(r, o, row);
    read_ratio(r, o, row);
    read_samples(r, o, row);
    read_kernels(r, o, row);
    check_summary(r, o, row);
}

static void read_rows(cln_reader *r, const json_t *root, cln_bench_report *out)
{
    snprintf(r->place, sizeof r->place, "benchmarks");
    const json_t *list = cln_reader_list(r, root, "benchmarks", CLN_BENCH_MAX_ROWS);
    const int n = (int)json_array_size(list);
    for (int i = 0; i < n && !r->rc; i++) {
        cln_bench_row row = {0};
        const json_t *o = json_array_get(list, (size_t)i);
        snprintf(r->place, sizeof r->place, "row %d", i + 1);
        if (!json_is_object(o))
            cln_reader_fail(r, "not an object");
        read_row(r, o, &row);
        if (!r->rc && cln_bench_report_find(out, row.name))
            cln_reader_fail(r, "another row has the same name");
        if (!r->rc)
            r->rc = cln_bench_report_add(out, &row, r->err);
        cln_bench_row_clear(&row);
    }
}

int cln_bench_read_json(const char *path, cln_bench_report *out, cln_error *err)
{
    cln_reader r = {.path = path, .place = "file", .err = err};
    *out = (cln_bench_report){0};
    json_t *root = cln_reader_open(&r, CLN_BENCH_MAX_FILE);
    if (!r.rc)
        read_context(&r, root, &out->context);
    if (!r.rc)
        read_rows(&r, root, out);
    json_decref(root);
    if (r.rc)
        cln_bench_report_clear(out);
    return r.rc;
}
