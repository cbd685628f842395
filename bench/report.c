/* Reports: where and when a run was made, its rows, and how a row is repeated. */
#include "report.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "file.h"

#ifndef CLN_COMMIT
#define CLN_COMMIT "unknown"
#endif

/* ---- context ----------------------------------------------------------------------------- */

/* The processor's name as Linux gives it on x86 and some others; else what uname knows. */
static void fill_host(char *out, size_t size)
{
    char line[512] = "";
    struct utsname u;
    FILE *f = fopen("/proc/cpuinfo", "r");
    out[0] = 0;
    while (f && !out[0] && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');
        if (colon && strncmp(line, "model name", 10) == 0)
            snprintf(out, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
    }
    if (f)
        fclose(f);
    out[strcspn(out, "\n")] = 0;
    if (!out[0] && uname(&u) == 0)
        snprintf(out, size, "%.20s %.20s", u.sysname, u.machine);
}

/* Appends to a string; where it does not fit: false, and the string is as it was. */
static bool append(char *out, size_t size, const char *text)
{
    const size_t n = strlen(out), more = strlen(text);
    if (n + more >= size)
        return false;
    memcpy(out + n, text, more + 1);
    return true;
}

/* The text as one word of a shell's command, quoted where it has to be. */
static bool append_word(char *out, size_t size, const char *text, bool always_quoted)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_@%+=:,./-";
    if (!always_quoted && text[0] && !text[strspn(text, plain)])
        return append(out, size, text);
    bool fits = append(out, size, "'");
    for (const char *s = text; *s && fits; s++)
        fits = append(out, size, *s == '\'' ? "'\\''" : (char[]){*s, 0});
    return fits && append(out, size, "'");
}

/* Arguments that do not fit are left out whole. */
static void fill_command(char *out, size_t size, int argc, char **argv)
{
    out[0] = 0;
    bool fits = argc < 1 || append(out, size - 4, argv[0]); /* "clnorm bench layers": words */
    for (int i = 1; i < argc && fits; i++) {
        const size_t n = strlen(out);
        fits = append(out, size - 4, " ") && append_word(out, size - 4, argv[i], false);
        if (!fits)
            out[n] = 0;
    }
    if (!fits)
        append(out, size, " ...");
}

void cln_bench_context_fill(cln_bench_context *c, const cln_device *dev, int argc, char **argv)
{
    const time_t now = time(NULL);
    struct tm utc;
    *c = (cln_bench_context){0};
    if (gmtime_r(&now, &utc))
        strftime(c->date, sizeof c->date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    snprintf(c->program, sizeof c->program, "clnorm %s", CLNORM_VERSION);
    snprintf(c->commit, sizeof c->commit, "%s", CLN_COMMIT);
    fill_host(c->host, sizeof c->host);
#if defined(__clang__)
    snprintf(c->compiler, sizeof c->compiler, "clang %.50s", __clang_version__);
#elif defined(__GNUC__)
    snprintf(c->compiler, sizeof c->compiler, "gcc %.50s", __VERSION__);
#endif
    if (getloadavg(c->load, 3) != 3)
        c->load[0] = c->load[1] = c->load[2] = NAN;
    fill_command(c->command, sizeof c->command, argc, argv);
    if (!dev)
        return;
    snprintf(c->device, sizeof c->device, "%s", dev->info.name);
    snprintf(c->platform, sizeof c->platform, "%s", dev->info.platform_name);
    snprintf(c->driver, sizeof c->driver, "%s", dev->info.driver);
    snprintf(c->opencl, sizeof c->opencl, "%s", dev->info.version);
    c->compute_units = (int)dev->info.compute_units;
    c->vector_width = (int)dev->info.vector_width;
}

/* ---- rows -------------------------------------------------------------------------------- */

int cln_bench_report_add(cln_bench_report *r, cln_bench_row *row, cln_error *err)
{
    const int n = r->n_rows;
    if (!(n & (n - 1))) { /* 0 or a power of 2: full */
        cln_bench_row *rows = realloc(r->rows, (n ? 2 * (size_t)n : 1) * sizeof *rows);
        if (!rows)
            return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
        r->rows = rows;
    }
    r->rows[r->n_rows++] = *row;
    *row = (cln_bench_row){0};
    return CLN_OK;
}

void cln_bench_report_clear(cln_bench_report *r)
{
    for (int i = 0; i < r->n_rows; i++)
        cln_bench_row_clear(&r->rows[i]);
    free(r->rows);
    *r = (cln_bench_report){0};
}

const cln_bench_row *cln_bench_report_find(const cln_bench_report *r, const char *name)
{
    for (int i = 0; i < r->n_rows; i++)
        if (strcmp(r->rows[i].name, name) == 0)
            return &r->rows[i];
    return NULL;
}

/* The norm of a row of `bench norms`, its groups and its shape: "gn --groups 4 --shape 128,32,16,16". */
static bool append_shape(char *out, size_t size, const cln_bench_row *row)
{
    const size_t word = strcspn(row->norm, "0123456789");
    char norm[sizeof row->norm], shape[sizeof row->what];
    snprintf(norm, sizeof norm, "%.*s", (int)word, row->norm);
    snprintf(shape, sizeof shape, "%s", row->what);
    for (char *at = shape; *at; at++)
        *at = *at == 'x' ? ',' : *at;
    return append(out, size, norm) && (!row->norm[word] || (append(out, size, " --groups ") && append(out, size, row->norm + word))) &&
           append(out, size, " --shape ") && append_word(out, size, shape, false);
}

/* The norm that the row is of; all that were asked for where it is of none, since they may have named it. */
static bool append_norms(char *out, size_t size, const cln_bench_options *o,
                         const cln_bench_row *row)
{
    const bool own = row->norm[0] && strcmp(row->norm, "-") != 0;
    if (!own && o->n_norms < 1)
        return true;
    bool fits = append(out, size, " --norm ");
    if (own && strcmp(row->view, "norms") == 0) /* gn4: group norm by 4 groups */
        return fits && append_shape(out, size, row);
    if (own)
        return fits && append_word(out, size, row->norm, false);
    for (int i = 0; i < o->n_norms && fits; i++)
        fits = append(out, size, i ? "," : "") && append(out, size, o->norms[i]);
    return fits;
}

void cln_bench_repeat(const cln_bench_options *o, const cln_bench_row *row, char *out, size_t size)
{
    char pattern[2 * sizeof row->name + 3] = "^", number[32];
    for (const char *s = row->name; *s; s++)
        append(pattern, sizeof pattern,
               strchr(".[\\()*+?{|^$", *s) ? (char[]){'\\', *s, 0} : (char[]){*s, 0});
    append(pattern, sizeof pattern, "$");
    snprintf(number, sizeof number, " --batch %d", row->batch);
    if (size > 0)
        out[0] = 0;
    bool fits = append(out, size, o->title ? o->title : "clnorm bench");
    if (o->device && fits)
        fits = append(out, size, " --device ") && append_word(out, size, o->device, false);
    if (o->model[0] && fits)
        fits = append(out, size, " --model ") && append_word(out, size, o->model, false);
    if (row->batch > 0 && strcmp(row->view, "norms") != 0 && fits) /* there the shape has it */
        fits = append(out, size, number);
    fits = fits && append_norms(out, size, o, row) && append(out, size, o->flags) && append(out, size, " --filter ") &&
           append_word(out, size, pattern, true);
    if (!fits && size > 0)
        out[0] = 0;
}

/* ---- texts and files --------------------------------------------------------------------- */

const char *cln_bench_time_text(double seconds, char out[16])
{
    static const struct {
        double seconds;
        const char *name;
    } units[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}};
    if (!isfinite(seconds)) {
        snprintf(out, 16, "-");
        return out;
    }
    const double size = fabs(seconds);
    const char *sign = seconds < 0 ? "-" : "";
    size_t i = 0; /* 999.6 us is 1.00 ms */
    while (size > 0 && i < 3 && size < 0.9995 * units[i].seconds)
        i++;
    const double x = size / units[i].seconds;
    if (x < 99999.5)
        snprintf(out, 16, "%s%.*f %s", sign, x < 9.995 ? 2 : x < 99.95 ? 1 : 0, x, units[i].name);
    else
        snprintf(out, 16, "%s%.3g %s", sign, x, units[i].name);
    return out;
}

int cln_bench_put(const char *path, const char *bytes, size_t n, cln_error *err)
{
    if (strcmp(path, "-") != 0)
        return cln_file_write_atomic(path, bytes, n, err);
    if (fwrite(bytes, 1, n, stdout) != n || fflush(stdout) != 0)
        return CLN_FAIL(err, CLN_ERR_IO, "cannot write to stdout");
    return CLN_OK;
}
