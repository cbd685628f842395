/* Reports read back from JSON. Such a file may come from anywhere: every value is checked, and the first that
 * is wrong is named with its file and row. Members that we do not know are passed over. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "json.h"
#include "report.h"

/* After the first failure the getters below leave everything as it is. */
typedef struct reader {
    const char *path;
    char place[192]; /* "row 3 (step/s8/bn/128)" */
    int rc;
    cln_error *err;
} reader;

static void fail(reader *r, const char *fmt, ...) CLN_PRINTF(2, 3);
static void fail(reader *r, const char *fmt, ...)
{
    char text[512];
    va_list args;
    if (r->rc)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    r->rc = CLN_FAIL(r->err, CLN_ERR_DATA, "%s: %s: %s", r->path, r->place, text);
}

/* ---- values ------------------------------------------------------------------------------ */

static double checked_number(reader *r, const json_t *value, const char *what, double low,
                             double high)
{
    const double x = json_number_value(value);
    if (!json_is_number(value))
        fail(r, "%s is %s", what, value ? "not a number" : "missing");
    else if (!(x >= low && x <= high)) /* a NaN fails, too */
        fail(r, "%s is %g, expected %g to %g", what, x, low, high);
    return x;
}

/* `unknown` where it is null. */
static double get_number(reader *r, const json_t *o, const char *key, double low, double high,
                         double unknown)
{
    const json_t *value = json_object_get(o, key);
    return json_is_null(value) ? unknown : checked_number(r, value, key, low, high);
}

static int get_int(reader *r, const json_t *o, const char *key, int low, int high)
{
    const json_t *value = json_object_get(o, key);
    const json_int_t x = json_integer_value(value);
    if (!json_is_integer(value))
        fail(r, "%s is %s", key, value ? "not an integer" : "missing");
    else if (x < low || x > high)
        fail(r, "%s is %lld, expected %d to %d", key, (long long)x, low, high);
    return r->rc ? low : (int)x;
}

static void get_text(reader *r, const json_t *o, const char *key, char *out, size_t size)
{
    const json_t *value = json_object_get(o, key);
    const char *text = json_string_value(value);
    const size_t n = json_string_length(value);
    if (!text) {
        fail(r, "%s is %s", key, value ? "not a string" : "missing");
        return;
    }
    if (n >= size)
        fail(r, "%s has %zu bytes, at most %zu expected", key, n, size - 1);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 32 || text[i] == 127)
            fail(r, "%s holds a control character", key);
    if (!r->rc)
        memcpy(out, text, n + 1);
}

static const json_t *get_list(reader *r, const json_t *o, const char *key, size_t limit)
{
    const json_t *list = json_object_get(o, key);
    if (!json_is_array(list))
        fail(r, "%s is %s", key, list ? "not a list" : "missing");
    else if (json_array_size(list) > limit)
        fail(r, "%s has %zu elements, at most %zu expected", key, json_array_size(list), limit);
    return r->rc ? NULL : list;
}

static const json_t *get_object(reader *r, const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);
    if (!json_is_object(value))
        fail(r, "%s is %s", key, value ? "not an object" : "missing");
    return value;
}

/* ---- context ----------------------------------------------------------------------------- */

static void read_peaks(reader *r, const json_t *o, cln_bench_peaks *p)
{
    p->flops = get_number(r, o, "flops", 0, 1e20, 0);
    p->launch = get_number(r, o, "launch", 0, 1e3, 0);
    p->round_trip = get_number(r, o, "round_trip", 0, 1e3, 0);
    const json_t *list = get_list(r, o, "bandwidth", CLN_BENCH_BANDWIDTHS);
    const int n = (int)json_array_size(list);
    for (int i = 0; i < n && !r->rc; i++) {
        const json_t *at = json_array_get(list, (size_t)i);
        p->bandwidth[i].bytes = get_number(r, at, "bytes", 1, 1e18, 1);
        p->bandwidth[i].copy = get_number(r, at, "copy", 0, 1e18, 0);
        p->bandwidth[i].read = get_number(r, at, "read", 0, 1e18, 0);
        if (i > 0 && p->bandwidth[i].bytes <= p->bandwidth[i - 1].bytes)
            fail(r, "the working sets of bandwidth do not ascend");
    }
    p->n_bandwidth = r->rc ? 0 : n;
}

static void read_context(reader *r, const json_t *root, cln_bench_context *c)
{
    char format[32] = "";
    snprintf(r->place, sizeof r->place, "context");
    const json_t *o = get_object(r, root, "context");
    if (!r->rc && !json_is_string(json_object_get(o, "format")))
        fail(r, "no format: not a report of clnorm bench");
    get_text(r, o, "format", format, sizeof format);
    if (strcmp(format, CLN_BENCH_FORMAT) != 0)
        fail(r, "format is '%s', expected '%s'", format, CLN_BENCH_FORMAT);
    get_text(r, o, "date", c->date, sizeof c->date);
    get_text(r, o, "program", c->program, sizeof c->program);
    get_text(r, o, "commit", c->commit, sizeof c->commit);
    get_text(r, o, "host_name", c->host, sizeof c->host);
    get_text(r, o, "device", c->device, sizeof c->device);
    get_text(r, o, "platform", c->platform, sizeof c->platform);
    get_text(r, o, "driver", c->driver, sizeof c->driver);
    get_text(r, o, "opencl", c->opencl, sizeof c->opencl);
    get_text(r, o, "compiler", c->compiler, sizeof c->compiler);
    get_text(r, o, "command", c->command, sizeof c->command);
    c->compute_units = get_int(r, o, "compute_units", 0, 1 << 24);
    c->vector_width = get_int(r, o, "vector_width", 0, 1 << 16);
    const json_t *load = get_list(r, o, "load_avg", 3);
    if (load && json_array_size(load) != 3)
        fail(r, "load_avg has not 3 elements");
    for (size_t i = 0; i < 3 && !r->rc; i++) {
        const json_t *x = json_array_get(load, i);
        c->load[i] = json_is_null(x) ? NAN : checked_number(r, x, "load_avg", 0, 1e6);
    }
    if (!r->rc)
        read_peaks(r, get_object(r, o, "peaks"), &c->peaks);
}

/* ---- rows -------------------------------------------------------------------------------- */

enum { LONGEST = 1000000000 }; /* seconds */

static void read_samples(reader *r, const json_t *o, cln_bench_row *row)
{
    const json_t *list = get_list(r, o, "samples", CLN_BENCH_MAX_SAMPLES);
    const int n = (int)json_array_size(list);
    row->per_round = get_int(r, o, "per_round", n > 0 ? 1 : 0, CLN_BENCH_MAX_SAMPLES);
    row->repetitions = get_int(r, o, "repetitions_per_sample", n > 0 ? 1 : 0, LONGEST);
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
        row->samples[i] = checked_number(r, json_array_get(list, (size_t)i), what, 1e-15, LONGEST);
    }
}

static void read_kernels(reader *r, const json_t *o, cln_bench_row *row)
{
    const json_t *list = get_list(r, o, "kernels", CLN_BENCH_MAX_KERNELS);
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
        get_text(r, at, "name", row->kernels[i].name, sizeof row->kernels[i].name);
        row->kernels[i].launches = get_number(r, at, "launches", 0, 1e12, 0);
        row->kernels[i].seconds = get_number(r, at, "seconds", 0, LONGEST, 0);
    }
}

/* The statistics are computed from the samples; the file's have to be the same. */
static void check_summary(reader *r, const json_t *o, cln_bench_row *row)
{
    const char *const keys[] = {"median", "min", "p10", "p90", "cv", "real_time"};
    if (r->rc)
        return;
    r->rc = cln_bench_row_summarise(row, r->err);
    const bool none = row->n_samples < 1;
    const double want[] = {row->median, row->min, row->p10,
                           row->p90,    row->cv,  none ? 0 : 1e6 * row->median};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && !r->rc; i++) {
        const double x = get_number(r, o, keys[i], 0, 1e6 * LONGEST, NAN);
        if (isnan(x) ? !isnan(want[i]) : !(fabs(x - want[i]) <= 1e-9 * (fabs(want[i]) + 1e-6)))
            fail(r, "%s is %g, but its samples give %g", keys[i], x, want[i]);
    }
}

static void read_ratio(reader *r, const json_t *o, cln_bench_row *row)
{
    row->ratio = get_number(r, o, "ratio", 1e-12, 1e12, 0);
    row->ratio_low = get_number(r, o, "ratio_low", 0, 1e12, 0);
    row->ratio_high = get_number(r, o, "ratio_high", 0, 1e12, row->ratio > 0 ? INFINITY : 0);
    if (row->ratio_low > row->ratio_high)
        fail(r, "ratio_low is above ratio_high");
}

static void read_bound(reader *r, const json_t *o, cln_bench_row *row)
{
    static const char *const bounds[] = {"", "flops", "memory"}; /* row->bound outlives the file */
    char text[16] = "";
    get_text(r, o, "bound", text, sizeof text);
    for (size_t i = 0; i < 3; i++)
        if (strcmp(text, bounds[i]) == 0)
            row->bound = bounds[i];
    if (!row->bound)
        fail(r, "bound is '%s', expected flops, memory or nothing", text);
}

static void read_row(reader *r, const json_t *o, cln_bench_row *row)
{
    char unit[8] = "";
    get_text(r, o, "name", row->name, sizeof row->name);
    if (!row->name[0])
        fail(r, "name is empty");
    if (!r->rc) {
        const size_t n = strlen(r->place);
        snprintf(r->place + n, sizeof r->place - n, " (%s)", row->name);
    }
    get_text(r, o, "time_unit", unit, sizeof unit);
    if (strcmp(unit, "us") != 0)
        fail(r, "time_unit is '%s', expected us", unit);
    get_text(r, o, "view", row->view, sizeof row->view);
    get_text(r, o, "what", row->what, sizeof row->what);
    get_text(r, o, "norm", row->norm, sizeof row->norm);
    get_text(r, o, "direction", row->direction, sizeof row->direction);
    get_text(r, o, "shape", row->shape, sizeof row->shape);
    get_text(r, o, "note", row->note, sizeof row->note);
    row->batch = get_int(r, o, "batch", 0, LONGEST);
    row->flops = get_number(r, o, "flops", 0, 1e24, 0);
    row->bytes = get_number(r, o, "bytes", 0, 1e24, 0);
    row->event = get_number(r, o, "event", 0, LONGEST, NAN);
    row->profiled = get_number(r, o, "profiled", 0, LONGEST, 0);
    row->first = get_number(r, o, "first", -LONGEST, LONGEST, NAN);
    row->ceiling = get_number(r, o, "ceiling", 0, LONGEST, 0);
    read_bound(r, o, row);
    read_ratio(r, o, row);
    read_samples(r, o, row);
    read_kernels(r, o, row);
    check_summary(r, o, row);
}

static void read_rows(reader *r, const json_t *root, cln_bench_report *out)
{
    snprintf(r->place, sizeof r->place, "benchmarks");
    const json_t *list = get_list(r, root, "benchmarks", CLN_BENCH_MAX_ROWS);
    const int n = (int)json_array_size(list);
    for (int i = 0; i < n && !r->rc; i++) {
        cln_bench_row row = {0};
        const json_t *o = json_array_get(list, (size_t)i);
        snprintf(r->place, sizeof r->place, "row %d", i + 1);
        if (!json_is_object(o))
            fail(r, "not an object");
        read_row(r, o, &row);
        if (!r->rc && cln_bench_report_find(out, row.name))
            fail(r, "another row has the same name");
        if (!r->rc)
            r->rc = cln_bench_report_add(out, &row, r->err);
        cln_bench_row_clear(&row);
    }
}

int cln_bench_read_json(const char *path, cln_bench_report *out, cln_error *err)
{
    reader r = {.path = path, .place = "file", .err = err};
    unsigned char *bytes = NULL;
    size_t n = 0;
    json_error_t at;
    bool no_memory;
    *out = (cln_bench_report){0};
    r.rc = cln_file_read_all(path, CLN_BENCH_MAX_FILE, &bytes, &n, err);
    if (r.rc)
        return r.rc;
    json_t *root = cln_json_load(bytes, n, JSON_REJECT_DUPLICATES, &at, &no_memory);
    free(bytes);
    if (no_memory)
        r.rc = CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to read %s", path);
    else if (!root)
        fail(&r, "line %d: %s", at.line, at.text);
    else if (!json_is_object(root))
        fail(&r, "not an object");
    if (!r.rc)
        read_context(&r, root, &out->context);
    if (!r.rc)
        read_rows(&r, root, out);
    json_decref(root);
    if (r.rc)
        cln_bench_report_clear(out);
    return r.rc;
}
