/* Reports as JSON and as CSV. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "run.h"

/* ---- JSON -------------------------------------------------------------------------------- */

json_t *cln_bench_json_text(const char *text)
{
    char *copy = strdup(text);
    for (char *s = copy; s && *s; s++)
        if ((unsigned char)*s < 32 || *s == 127)
            *s = '?';
    json_t *out = copy ? cln_run_text(copy) : NULL;
    free(copy);
    return out;
}

json_t *cln_bench_json_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* Members are added in the order in which they are printed; what fails is remembered. */
typedef struct object {
    json_t *json;
    bool failed;
} object;

static void put_json(object *o, const char *key, json_t *value)
{
    o->failed |= json_object_set_new(o->json, key, value) != 0;
}
static void put_text(object *o, const char *key, const char *text)
{
    put_json(o, key, cln_bench_json_text(text));
}
static void put_number(object *o, const char *key, double x)
{
    put_json(o, key, cln_bench_json_number(x));
}
static void put_int(object *o, const char *key, long long x)
{
    put_json(o, key, json_integer(x));
}

static json_t *peaks_json(const cln_bench_peaks *p)
{
    object o = {json_object(), false}, at;
    json_t *list = json_array();
    put_number(&o, "flops", p->flops);
    put_number(&o, "launch", p->launch);
    put_number(&o, "round_trip", p->round_trip);
    for (int i = 0; i < p->n_bandwidth; i++) {
        at = (object){json_object(), false};
        put_number(&at, "bytes", p->bandwidth[i].bytes);
        put_number(&at, "copy", p->bandwidth[i].copy);
        put_number(&at, "read", p->bandwidth[i].read);
        o.failed |= at.failed | (json_array_append_new(list, at.json) != 0);
    }
    put_json(&o, "bandwidth", list);
    if (o.failed)
        json_decref(o.json);
    return o.failed ? NULL : o.json;
}

static json_t *context_json(const cln_bench_context *c)
{
    object o = {json_object(), false};
    json_t *load = json_array();
    put_text(&o, "format", CLN_BENCH_FORMAT);
    put_text(&o, "date", c->date);
    put_text(&o, "program", c->program);
    put_text(&o, "commit", c->commit);
    put_text(&o, "host_name", c->host);
    put_text(&o, "device", c->device);
    put_text(&o, "platform", c->platform);
    put_text(&o, "driver", c->driver);
    put_text(&o, "opencl", c->opencl);
    put_text(&o, "compiler", c->compiler);
    put_int(&o, "compute_units", c->compute_units);
    put_int(&o, "vector_width", c->vector_width);
    for (int i = 0; i < 3; i++)
        o.failed |= json_array_append_new(load, cln_bench_json_number(c->load[i])) != 0;
    put_json(&o, "load_avg", load);
    put_text(&o, "command", c->command);
    put_json(&o, "peaks", peaks_json(&c->peaks));
    if (o.failed)
        json_decref(o.json);
    return o.failed ? NULL : o.json;
}

/* What Google Benchmark has, in its words and units; its compare.py reads these. A row without samples is to
 * it a benchmark that failed. */
static void put_google(object *o, const cln_bench_row *r)
{
    const bool none = r->n_samples < 1;
    put_text(o, "name", r->name);
    put_text(o, "run_name", r->name);
    put_text(o, "run_type", "iteration");
    put_int(o, "repetitions", 1);
    put_int(o, "repetition_index", 0);
    put_int(o, "threads", 1);
    if (none) {
        put_json(o, "error_occurred", json_true());
        put_text(o, "error_message", r->note[0] ? r->note : "no samples");
    }
    put_int(o, "iterations", (long long)r->n_samples * r->repetitions);
    put_number(o, "real_time", none ? 0 : 1e6 * r->median);
    put_number(o, "cpu_time", isfinite(r->event) ? 1e6 * r->event : 0);
    put_text(o, "time_unit", "us");
    if (r->bytes > 0 && !none)
        put_number(o, "bytes_per_second", r->bytes / r->median);
    if (r->flops > 0 && !none)
        put_number(o, "flops_per_second", r->flops / r->median);
    if (r->batch > 0 && !none)
        put_number(o, "items_per_second", r->batch / r->median);
}

static json_t *samples_json(const cln_bench_row *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_samples && list; i++)
        if (json_array_append_new(list, cln_bench_json_number(r->samples[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

static json_t *kernels_json(const cln_bench_row *r)
{
    json_t *list = json_array();
    for (int i = 0; i < r->n_kernels && list; i++) {
        object o = {json_object(), false};
        put_text(&o, "name", r->kernels[i].name);
        put_number(&o, "launches", r->kernels[i].launches);
        put_number(&o, "seconds", r->kernels[i].seconds);
        if (o.failed | (json_array_append_new(list, o.json) != 0)) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* A ratio that is not known is null, all three of it. */
static void put_ratio(object *o, const cln_bench_row *r)
{
    const bool known = r->ratio > 0;
    put_number(o, "ratio", known ? r->ratio : NAN);
    put_number(o, "ratio_low", known ? r->ratio_low : NAN);
    put_number(o, "ratio_high", known ? r->ratio_high : NAN);
}

static json_t *row_json(const cln_bench_row *r, const cln_bench_options *options)
{
    char command[4096] = "";
    object o = {json_object(), false};
    put_google(&o, r);
    put_text(&o, "view", r->view);
    put_text(&o, "what", r->what);
    put_text(&o, "norm", r->norm);
    put_text(&o, "direction", r->direction);
    put_text(&o, "shape", r->shape);
    put_text(&o, "note", r->note);
    put_int(&o, "batch", r->batch);
    put_number(&o, "flops", r->flops);
    put_number(&o, "bytes", r->bytes);
    put_number(&o, "median", r->median);
    put_number(&o, "min", r->min);
    put_number(&o, "p10", r->p10);
    put_number(&o, "p90", r->p90);
    put_number(&o, "cv", r->cv);
    put_json(&o, "noisy", json_boolean(cln_bench_noisy(r)));
    put_number(&o, "event", r->event);
    put_number(&o, "profiled", r->profiled);
    put_number(&o, "first", r->first);
    put_number(&o, "ceiling", r->ceiling);
    put_number(&o, "percent_of_ceiling", r->ceiling > 0 ? 100 * r->ceiling / r->median : NAN);
    put_text(&o, "bound", r->bound ? r->bound : "");
    put_ratio(&o, r);
    put_int(&o, "per_round", r->per_round);
    put_int(&o, "repetitions_per_sample", r->repetitions);
    put_json(&o, "samples", samples_json(r));
    put_json(&o, "kernels", kernels_json(r));
    if (options) {
        cln_bench_repeat(options, r, command, sizeof command);
        put_text(&o, "command", command);
    }
    if (o.failed)
        json_decref(o.json);
    return o.failed ? NULL : o.json;
}

/* A line for each row: such files can be searched and compared line by line. */
static bool print_json(FILE *f, const cln_bench_report *r, const cln_bench_options *o)
{
    const size_t exact = JSON_REAL_PRECISION(17);
    json_t *context = context_json(&r->context);
    fprintf(f, "{\"context\": ");
    bool done = context && json_dumpf(context, f, JSON_INDENT(2) | exact) == 0;
    json_decref(context);
    fprintf(f, ",\n\"benchmarks\": [");
    for (int i = 0; i < r->n_rows && done; i++) {
        json_t *row = row_json(&r->rows[i], o);
        fprintf(f, i ? ",\n" : "\n");
        done = row && json_dumpf(row, f, exact) == 0;
        json_decref(row);
    }
    fprintf(f, "\n]}\n");
    return done;
}

/* ---- CSV --------------------------------------------------------------------------------- */

void cln_bench_csv_text(FILE *f, bool first, const char *text)
{
    const bool quoted = text[strcspn(text, ",\"\r\n")] != 0;
    fprintf(f, "%s%s", first ? "" : ",", quoted ? "\"" : "");
    for (const char *s = text; *s; s++)
        fprintf(f, *s == '"' ? "\"\"" : "%c", *s);
    fputs(quoted ? "\"" : "", f);
}

void cln_bench_csv_number(FILE *f, double x)
{
    fputc(',', f);
    if (isfinite(x))
        fprintf(f, "%.9g", x);
}

static void print_csv_row(FILE *f, const cln_bench_row *r, const cln_bench_options *o)
{
    char command[4096] = "";
    const bool known = r->ratio > 0;
    const char *const texts[] = {r->name,      r->view,  r->what, r->norm,
                                 r->direction, r->shape, r->note};
    const double numbers[] = {r->batch,
                              r->flops,
                              r->bytes,
                              r->n_samples,
                              r->per_round,
                              r->repetitions,
                              r->median,
                              r->min,
                              r->p10,
                              r->p90,
                              r->cv,
                              r->event,
                              r->first,
                              r->ceiling,
                              r->ceiling > 0 ? 100 * r->ceiling / r->median : NAN,
                              r->bytes > 0 ? r->bytes / r->median : NAN,
                              r->flops > 0 ? r->flops / r->median : NAN,
                              known ? r->ratio : NAN,
                              known ? r->ratio_low : NAN,
                              known ? r->ratio_high : NAN,
                              cln_bench_noisy(r)};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cln_bench_csv_text(f, i == 0, texts[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        cln_bench_csv_number(f, numbers[i]);
    cln_bench_csv_text(f, false, r->bound ? r->bound : "");
    if (o)
        cln_bench_repeat(o, r, command, sizeof command);
    cln_bench_csv_text(f, false, command);
    fputs("\r\n", f);
}

static bool print_csv(FILE *f, const cln_bench_report *r, const cln_bench_options *o)
{
    fputs("name,view,what,norm,direction,shape,note,batch,flops,bytes,samples,per_round,"
          "repetitions_per_sample,median,min,p10,p90,cv,event,first,ceiling,percent_of_ceiling,"
          "bytes_per_second,flops_per_second,ratio,ratio_low,ratio_high,noisy,bound,command\r\n",
          f);
    for (int i = 0; i < r->n_rows; i++)
        print_csv_row(f, &r->rows[i], o);
    return true;
}

/* ---- files ------------------------------------------------------------------------------- */

static int write_report(bool (*print)(FILE *, const cln_bench_report *, const cln_bench_options *),
                        const cln_bench_report *r, const cln_bench_options *o, const char *path,
                        cln_error *err)
{
    char *bytes = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&bytes, &n);
    const bool printed = f && print(f, r, o);
    const bool kept = f && !ferror(f);
    const bool closed = f && fclose(f) == 0;
    const int rc = printed && kept && closed
                       ? cln_bench_put(path, bytes, n, err)
                       : CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to write %s", path);
    free(bytes);
    return rc;
}

int cln_bench_write_json(const cln_bench_report *r, const cln_bench_options *o, const char *path,
                         cln_error *err)
{
    return write_report(print_json, r, o, path, err);
}

int cln_bench_write_csv(const cln_bench_report *r, const cln_bench_options *o, const char *path,
                        cln_error *err)
{
    return write_report(print_csv, r, o, path, err);
}
