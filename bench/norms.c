/* clnorm bench norms: the norms alone on free shapes, without a model: across channels, image sizes, batches, groups. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "cli/cli.h"
#include "options.h"

static const char help[] =
    "usage: clnorm bench norms [OPTION ...]\n"
    "\n"
    "Times the norms alone, forward and backward, on shapes that need no model. By default three sweeps\n"
    "around 128,32,16,16: channels, image size and batch; and the groups of group norm.\n"
    "\n"
    "options:\n"
    "  --shape N,C,H,W  one shape in place of the sweeps; may be given several times\n"
    "  --groups A,B,C   groups of gn to time on every shape (4; on 128,32,16,16 1,2,4,8,16,32)\n"
    "  --norm A,B,C     norms (bn,ln,gn,in,none)\n"
    "  --plot FILE      .png or .svg: every row under the device's roofs\n";

enum { MAX_SHAPES = 24, MAX_GROUPS = 12 };

typedef struct norms_bench {
    cln_bench_options o;
    cln_shape shapes[MAX_SHAPES];
    int n_shapes;
    int groups[MAX_GROUPS], n_groups;
    cln_device *dev;
    cln_bench_report report;
} norms_bench;

static void default_shapes(norms_bench *b)
{
    static const cln_shape sweep[] = {
        {128, 16, 16, 32}, {128, 16, 16, 8},  {128, 16, 16, 16}, {128, 16, 16, 64}, {128, 16, 16, 128}, {128, 4, 4, 32},
        {128, 8, 8, 32},   {128, 32, 32, 32}, {128, 64, 64, 32}, {1, 16, 16, 32},   {8, 16, 16, 32},    {32, 16, 16, 32},
        {512, 16, 16, 32}};
    b->n_shapes = sizeof sweep / sizeof sweep[0];
    memcpy(b->shapes, sweep, sizeof sweep);
}

static int set_option(void *arg, const char *name, const char *value, cln_error *err)
{
    norms_bench *b = arg;
    int d[4] = {0}, count;
    if (!strcmp(name, "groups")) {
        const int failed = cln_option_integers("groups", value, 1, 65536, b->groups, MAX_GROUPS, &b->n_groups, err);
        return failed ? failed : cln_option_distinct("groups", b->groups, b->n_groups, err);
    }
    int rc = cln_option_integers("shape", value, 1, 65536, d, 4, &count, err);
    if (!rc && count != 4)
        rc = CLN_FAIL(err, CLN_ERR_ARGUMENT, "--shape: '%s' is not N,C,H,W", value);
    if (!rc && (double)d[0] * d[1] * d[2] * d[3] > 1e9)
        rc = CLN_FAIL(err, CLN_ERR_ARGUMENT, "--shape: '%s' has more than a billion values", value);
    if (!rc && b->n_shapes == MAX_SHAPES)
        rc = CLN_FAIL(err, CLN_ERR_ARGUMENT, "--shape: more than %d shapes", MAX_SHAPES);
    const cln_shape shape = {d[0], d[2], d[3], d[1]};
    for (int i = 0; i < b->n_shapes && !rc; i++)
        if (!memcmp(&b->shapes[i], &shape, sizeof shape))
            rc = CLN_FAIL(err, CLN_ERR_ARGUMENT, "--shape: '%s' is there twice", value);
    if (!rc)
        b->shapes[b->n_shapes++] = shape;
    return rc;
}

/* ---- one shape ----------------------------------------------------------------------------------- */

typedef struct entry {
    char line[48], norm[16];
} entry;

/* Every norm; gn once for each number of groups that divides the channels. */
static int entries_of(const norms_bench *b, cln_shape s, bool sweep_groups, entry *out, int max)
{
    static const int sweep[] = {1, 2, 4, 8, 16, 32};
    const int four[] = {4};
    const int *groups = b->n_groups ? b->groups : sweep_groups ? sweep : four;
    const int n_groups = b->n_groups ? b->n_groups : sweep_groups ? 6 : 1;
    int n = 0;
    for (int k = 0; k < b->o.n_norms; k++) {
        const bool gn = !strcmp(b->o.norms[k], "gn");
        for (int g = 0; g < (gn ? n_groups : 1) && n < max; g++) {
            if (gn && s.c % groups[g])
                continue;
            if (gn) {
                snprintf(out[n].line, sizeof out[n].line, "gn groups=%d", groups[g]);
                snprintf(out[n].norm, sizeof out[n].norm, "gn%d", groups[g]);
            } else {
                snprintf(out[n].line, sizeof out[n].line, "%s", b->o.norms[k]);
                snprintf(out[n].norm, sizeof out[n].norm, "%s", b->o.norms[k]);
            }
            n++;
        }
    }
    return n;
}

static int bench_shape(norms_bench *b, cln_shape s, bool sweep_groups, cln_error *err)
{
    enum { MAX = CLN_BENCH_MAX_NORMS + MAX_GROUPS };
    entry entries[MAX];
    char what[64];
    cln_bench_case cases[2 * MAX];
    int n_cases = 0, rc = CLN_OK;
    const int n = entries_of(b, s, sweep_groups, entries, MAX);
    cln_bench_lone *lones = calloc(MAX, sizeof *lones);
    if (!lones)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    snprintf(what, sizeof what, "%dx%dx%dx%d", s.n, s.c, s.h, s.w);
    for (int k = 0; k < n && !rc; k++) {
        cln_bench_row f = {.name = ""}, g = {.name = ""};
        cln_bench_row_name(&f, "norms", what, entries[k].norm, "forward");
        cln_bench_row_name(&g, "norms", what, entries[k].norm, "backward");
        const bool wanted[] = {cln_bench_wanted(&b->o, f.name), cln_bench_wanted(&b->o, g.name)};
        if (!wanted[0] && !wanted[1])
            continue;
        rc = cln_bench_lone_new(&lones[k], b->dev, "norms", what, entries[k].norm, entries[k].line, s, NULL, false, err);
        for (int c = 0; c < 2 && c < lones[k].n_cases && !rc; c++)
            if (wanted[c])
                cases[n_cases++] = lones[k].cases[c];
    }
    const cln_bench_measurement m = {.min_time = b->o.min_time};
    if (!rc)
        rc = cln_bench_measure(b->dev, &m, cases, n_cases, err);
    for (int i = 0; i < n_cases; i++) {
        cln_bench_row_judge(&cases[i].row, &b->report.context.peaks);
        if (!rc)
            rc = cln_bench_report_add(&b->report, &cases[i].row, err);
        cln_bench_row_clear(&cases[i].row);
    }
    for (int k = 0; k < n; k++)
        cln_bench_lone_clear(&lones[k]);
    free(lones);
    return rc;
}

/* ---- the table ----------------------------------------------------------------------------------- */

static void print_table(const norms_bench *b, double seconds)
{
    cln_bench_print_context(&b->report);
    printf("%-18s %-6s %-9s %9s  %10s %12s %8s\n", "N x C x H x W", "norm", "direction", "median", "GB/s", "ns a value",
           "ceiling");
    const char *last = "";
    for (int i = 0; i < b->report.n_rows; i++) {
        const cln_bench_row *r = &b->report.rows[i];
        char time[16];
        const bool forward = !strcmp(r->direction, "forward");
        const double tensors = forward || !strcmp(r->norm, "none") ? 2 : 3, values = r->bytes / tensors / sizeof(float);
        if (i && strcmp(last, r->what))
            printf("\n");
        printf("%-18s %-6s %-9s %9s%s %10.1f %12.3f %5.0f %%\n", strcmp(last, r->what) ? r->what : "", r->norm,
               r->direction, cln_bench_time_text(r->median, time), cln_bench_noisy(r) ? "~" : " ",
               1e-9 * r->bytes / r->median, 1e9 * r->median / values, 100 * r->ceiling / r->median);
        last = r->what;
    }
    printf("\nGB/s of algorithmic bytes: x read and y written forward; x and dy read, dx written backward\n"
           "(none: dy read, dx written). The ceiling is the copy bandwidth for that working set. %d rows in\n%.0f s; ~: noisy, "
           "coefficient of variation above %d %%, or medians of\nthe halves of the samples more than %d %% apart\n",
           b->report.n_rows, seconds, CLN_BENCH_NOISY_PERCENT, CLN_BENCH_DRIFT_PERCENT);
}

/* ---- the command --------------------------------------------------------------------------------- */

static int run(norms_bench *b, cln_error *err)
{
    const bool sweeps = !b->n_shapes;
    if (sweeps)
        default_shapes(b);
    int rc = cln_bench_peaks_measure(b->dev, 2.0, &b->report.context.peaks, err);
    for (int i = 0; i < b->n_shapes && !rc; i++)
        rc = bench_shape(b, b->shapes[i], sweeps && i == 0, err);
    return rc;
}

int cln_bench_norms(int argc, char **argv)
{
    static const char *const flags[] = {"shape=", "groups=", NULL};
    norms_bench b = {.o = {.norms = {"bn", "ln", "gn", "in", "none"}, .n_norms = 5, .min_time = 0.1}};
    cln_error err = {0};
    const double began = cln_now();
    const int status = cln_bench_parse(argc, argv, &b.o, help, flags, set_option, &b);
    if (status >= 0)
        return status;
    if (b.o.model[0] || b.o.n_batches)
        return cln_cli_usage("bench norms", "--model, --batch: the shapes stand for themselves (--shape)");
    int rc = cln_bench_open(&b.o, &b.dev, &err);
    if (!rc) {
        cln_bench_context_fill(&b.report.context, b.dev, argc, argv);
        rc = run(&b, &err);
    }
    if (!rc && !b.report.n_rows)
        rc = CLN_FAIL(&err, CLN_ERR_ARGUMENT, "no row is left: --filter or --groups fit none");
    if (!rc && !cln_bench_quiet(&b.o))
        print_table(&b, cln_now() - began);
    if (!rc)
        rc = cln_bench_write(&b.report, &b.o, &err);
    if (!rc && b.o.plot)
        rc = cln_bench_plot_roofline(&b.report, b.o.plot, &err);
    cln_bench_report_clear(&b.report);
    cln_bench_close(b.dev);
    return rc ? cln_cli_fail(&err) : CLN_EXIT_OK;
}
