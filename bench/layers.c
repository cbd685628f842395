/* clnorm bench layers: what every layer of a network costs on this device, alone and in its stage, by norm. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"
#include "cli/cli.h"
#include "net.h"

static const char help[] =
    "usage: clnorm bench [layers] [OPTION ...]\n"
    "\n"
    "Times every layer of a network, forward and backward, for each norm: alone, and in its stage\n"
    "(convolution + norm + ReLU + pooling as the plan runs them). The price of a norm in its place is the\n"
    "stage's time over that of the same stage without a norm, measured in turn with it.\n"
    "\n"
    "options:\n"
    "  --model M        network (" CLN_NET_DEFAULT ")\n"
    "  --batch N        images (128)\n"
    "  --norm A,B,C     norms (bn,ln,gn,in,none)\n"
    "  --view V         alone, gemm, stage, or a list of them (alone,gemm,stage);\n"
    "                   gemm: convolutions by im2col and CLBlast, the other choice of algorithm\n"
    "  --plot FILE      .png or .svg: time of each stage by norm\n"
    "  --roofline FILE  .png or .svg: every row under the device's roofs\n"
    "  --prices FILE    .png or .svg: the price of each norm in % of the stages\n";

enum { ALONE, GEMM, STAGE, VIEWS };
/* Every row is visited in the first and in the second half of the run: what a busy moment does to it shows. */
enum { VISITS = 2 };
static const char *const views[VIEWS] = {"alone", "gemm", "stage"};
static const int gemm_batch = 16; /* 20 times slower on a CPU than the direct kernels: a sample has to end */

typedef struct layers_bench {
    cln_bench_options o;
    bool view[VIEWS];
    const char *roofline, *prices;
    cln_device *dev;
    cln_bench_report report;
    double compile; /* seconds in which nothing was timed */
} layers_bench;

/* ---- rows ---------------------------------------------------------------------------------------- */

static void show_progress(const layers_bench *b, const char *what)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[Kclnorm: %d rows, now %s ...", b->report.n_rows, what);
}

static void end_progress(void)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
}

/* Measures what is wanted of `cases` and takes the rows over; on a later visit, the samples. */
static int measure(layers_bench *b, cln_bench_case *cases, int n, const cln_bench_measurement *m, cln_error *err)
{
    int wanted = 0;
    for (int i = 0; i < n; i++)
        if (cln_bench_wanted(&b->o, cases[i].row.name)) {
            const cln_bench_row *before = cln_bench_report_find(&b->report, cases[i].row.name);
            cases[wanted] = cases[i];
            cases[wanted].row.repetitions = before ? before->repetitions : 0;
            cases[wanted++].row.per_round = before ? before->per_round : 0;
        }
    int rc = cln_bench_measure(b->dev, m, cases, wanted, err);
    for (int i = 0; i < wanted; i++) {
        cln_bench_row *before = (cln_bench_row *)cln_bench_report_find(&b->report, cases[i].row.name);
        cln_bench_row_judge(&cases[i].row, &b->report.context.peaks);
        if (!rc)
            rc = before ? cln_bench_row_append(before, &cases[i].row, err)
                        : cln_bench_report_add(&b->report, &cases[i].row, err);
        cln_bench_row_clear(&cases[i].row);
    }
    return rc;
}

/* ---- each layer alone ---------------------------------------------------------------------------- */

/* One layer, or the norms of one place in turn; lines[k] under norms[k]. */
static int bench_place(layers_bench *b, int view, const cln_layer *layer, const char (*lines)[160],
                       const char *const *norms, int n, cln_error *err)
{
    const cln_tune_request gemm = {CLN_CLASS_AUTO, CLN_CONV_GEMM};
    const bool data = layer->input[0] < 0;
    char what[64];
    cln_bench_case cases[CLN_BENCH_MAX_NORMS * CLN_COST_KINDS];
    int n_cases = 0, rc = CLN_OK;
    cln_bench_lone *lones = calloc((size_t)n, sizeof *lones);
    if (!lones)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    cln_shape in = layer->in[0];
    in.n = view == GEMM && in.n > gemm_batch ? gemm_batch : in.n;
    snprintf(what, sizeof what, "%d.%s", layer->index, layer->op->norm ? "norm" : layer->op->word);
    const double began = cln_now();
    for (int k = 0; k < n && !rc; k++) {
        rc = cln_bench_lone_new(&lones[k], b->dev, views[view], what, norms[k], lines[k], in,
                                view == GEMM ? &gemm : NULL, data, err);
        const bool other = view == GEMM && !rc && lones[k].lone.node.tune.fwd != CLN_CONV_GEMM; /* the device cannot run it */
        for (int c = 0; c < lones[k].n_cases && !other; c++) {
            lones[k].cases[c].foreign = view == GEMM;
            cases[n_cases++] = lones[k].cases[c];
        }
    }
    b->compile += cln_now() - began;
    const cln_bench_measurement m = {.min_time = b->o.min_time / VISITS};
    if (!rc)
        rc = measure(b, cases, n_cases, &m, err);
    for (int k = 0; k < n; k++)
        cln_bench_lone_clear(&lones[k]);
    free(lones);
    return rc;
}

/* Skips a place of which no row is wanted: its kernels are not compiled either. */
static bool place_wanted(const layers_bench *b, int view, const cln_layer *layer)
{
    static const char *const directions[] = {"forward", "backward", "backward-data", "backward-params"};
    for (int k = 0; k <= b->o.n_norms; k++)
        for (size_t d = 0; d < sizeof directions / sizeof directions[0]; d++) {
            cln_bench_row row = {0};
            char what[64];
            snprintf(what, sizeof what, "%d.%s", layer->index, layer->op->norm ? "norm" : layer->op->word);
            cln_bench_row_name(&row, views[view], what, k ? b->o.norms[k - 1] : "-", directions[d]);
            if (cln_bench_wanted(&b->o, row.name))
                return true;
        }
    return false;
}

static int bench_alone(layers_bench *b, int view, cln_net **nets, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; nets[0] && i < nets[0]->n_layers && !rc; i++) {
        const cln_layer *layer = &nets[0]->layers[i];
        const char *norms[CLN_BENCH_MAX_NORMS] = {"-"};
        char lines[CLN_BENCH_MAX_NORMS][160];
        int n = layer->op->norm ? b->o.n_norms : 1;
        if ((view == GEMM && !layer->op->resolve) || !place_wanted(b, view, layer))
            continue;
        show_progress(b, views[view]);
        for (int k = 0; k < n; k++) {
            norms[k] = layer->op->norm ? b->o.norms[k] : "-";
            cln_bench_layer_line(&nets[k]->layers[i], lines[k], sizeof lines[k]);
        }
        rc = bench_place(b, view, layer, (const char(*)[160])lines, norms, n, err);
    }
    return rc;
}

/* ---- stages in their place ----------------------------------------------------------------------- */

typedef struct stage_bench {
    cln_plan *plans[CLN_BENCH_MAX_NORMS];
    cln_bench_unit *units[CLN_BENCH_MAX_NORMS];
    int n_units, n;
    cln_bench_case *cases;
    int n_cases;
} stage_bench;

/* A whole step of every plan, so that each stage finds sane numbers in its buffers. */
static int refresh(void *arg, cln_error *err)
{
    const stage_bench *s = arg;
    int rc = CLN_OK;
    for (int k = 0; k < s->n && !rc; k++) {
        const cln_pass pass = {.n = s->plans[k]->net->input.n, .train = true, .step = 1};
        rc = cln_plan_forward(s->plans[k], &pass, err);
        if (!rc) /* the logits serve as their own gradient */
            rc = cln_tensor_copy(s->plans[k]->dev, s->plans[k]->logits, s->plans[k]->dlogits, s->plans[k]->logits.bytes, err);
        if (!rc)
            rc = cln_plan_backward(s->plans[k], &pass, err);
    }
    return rc;
}

static int fill_input(cln_plan *plan, cln_error *err)
{
    const size_t count = cln_shape_count(plan->net->input);
    float *x = malloc(count * sizeof *x);
    if (!x)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory for test values");
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) / 4194304.0f - 2.0f;
    }
    int rc = cln_tensor_write(plan->dev, plan->input, 0, x, count * sizeof *x, err);
    free(x);
    return rc;
}

static int plan_stages(layers_bench *b, stage_bench *s, cln_net **nets, cln_error *err)
{
    const cln_plan_options options = {.tune = {CLN_CLASS_AUTO, -1}, .fuse = true};
    int rc = CLN_OK;
    for (; s->n < b->o.n_norms && !rc; s->n++) {
        const int k = s->n;
        rc = cln_plan_new(b->dev, nets[k], &options, &s->plans[k], err);
        if (!rc)
            rc = cln_plan_init(s->plans[k], 1, err);
        if (!rc)
            rc = fill_input(s->plans[k], err);
        if (!rc)
            rc = cln_bench_units(s->plans[k], &s->units[k], &s->n_units, err);
        if (rc)
            return rc; /* plans[k] may be there or not: freeing takes both */
    }
    return rc;
}

static int stage_cases(const layers_bench *b, stage_bench *s, cln_error *err)
{
    static const char *const directions[] = {"forward", "backward"};
    const size_t room = (size_t)s->n_units * (size_t)s->n * 2;
    s->cases = room ? calloc(room, sizeof *s->cases) : NULL;
    if (!s->cases)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    for (int u = 0; u < s->n_units; u++)
        for (int d = 0; d < 2; d++)
            for (int k = 0; k < s->n; k++) { /* the norms of a stage one after the other */
                cln_bench_unit *unit = &s->units[k][u];
                cln_bench_case *c = &s->cases[s->n_cases];
                c->run = d ? cln_bench_unit_backward : cln_bench_unit_forward;
                c->arg = unit;
                cln_bench_row_name(&c->row, "stage", unit->what, unit->has_norm ? b->o.norms[k] : "-", directions[d]);
                snprintf(c->row.shape, sizeof c->row.shape, "%s", unit->shape);
                c->row.batch = s->plans[k]->net->input.n;
                c->row.flops = unit->cost[d].flops;
                c->row.bytes = unit->cost[d].bytes;
                if (unit->has_norm || k == 0) /* what no norm stands in is the same for all */
                    s->n_cases++;
                else
                    memset(c, 0, sizeof *c);
            }
    return CLN_OK;
}

static bool any_wanted(const layers_bench *b, const stage_bench *s)
{
    for (int i = 0; i < s->n_cases; i++)
        if (cln_bench_wanted(&b->o, s->cases[i].row.name))
            return true;
    return false;
}

static int bench_stages(layers_bench *b, cln_net **nets, cln_error *err)
{
    stage_bench s = {.n = 0};
    const cln_bench_measurement m = {.min_time = b->o.min_time / VISITS, .begin_round = refresh, .arg = &s};
    show_progress(b, "stages");
    const double began = cln_now();
    int rc = plan_stages(b, &s, nets, err);
    if (!rc)
        rc = stage_cases(b, &s, err);
    if (!rc && any_wanted(b, &s)) {
        rc = refresh(&s, err);
        if (!rc)
            rc = cln_device_finish(b->dev, err);
        b->compile += cln_now() - began;
        if (!rc)
            rc = measure(b, s.cases, s.n_cases, &m, err);
    }
    cln_device_finish(b->dev, NULL);
    for (int k = 0; k < CLN_BENCH_MAX_NORMS; k++) {
        free(s.units[k]);
        cln_plan_free(s.plans[k]);
    }
    free(s.cases);
    return rc;
}

/* ---- the price of a norm ------------------------------------------------------------------------- */

static cln_bench_row *sibling(const cln_bench_report *r, const cln_bench_row *row, const char *norm)
{
    char name[128];
    snprintf(name, sizeof name, "%s/%s/%s/%s", row->view, row->what, norm, row->direction);
    return (cln_bench_row *)cln_bench_report_find(r, name);
}

/* Against the same row without a norm, where that was measured. */
static int price_rows(cln_bench_report *r, cln_error *err)
{
    int rc = CLN_OK;
    for (int i = 0; i < r->n_rows && !rc; i++) {
        cln_bench_row *row = &r->rows[i];
        const cln_bench_row *none = sibling(r, row, "none"), *self = row;
        cln_bench_interval in;
        if (strcmp(row->view, "stage") || !none || none == row)
            continue;
        rc = cln_bench_ratio(&self, 1, &none, 1, 0.95, &in, err);
        row->ratio = in.ratio;
        row->ratio_low = in.low;
        row->ratio_high = in.high;
    }
    return rc;
}

/* All stages of `norm` together over those without a norm; rows of stages without a place for one are left out. */
static int price_all(const cln_bench_report *r, const char *norm, const char *direction, cln_bench_interval *out,
                     double *seconds, cln_error *err)
{
    const cln_bench_row **a = calloc((size_t)r->n_rows + 1, sizeof(void *)), **b = calloc((size_t)r->n_rows + 1, sizeof(void *));
    int n = 0, rc = a && b ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    *seconds = 0;
    for (int i = 0; i < r->n_rows && !rc; i++) {
        const cln_bench_row *row = &r->rows[i], *none = sibling(r, row, "none");
        if (strcmp(row->view, "stage") || strcmp(row->norm, norm) || (direction && strcmp(row->direction, direction)) || !none)
            continue;
        *seconds += row->median;
        a[n] = row;
        b[n++] = none;
    }
    *out = (cln_bench_interval){0, 0, 0};
    if (!rc && n)
        rc = cln_bench_ratio(a, n, b, n, 0.95, out, err);
    free(a);
    free(b);
    return rc;
}

/* ---- tables -------------------------------------------------------------------------------------- */

static const char *mark(const cln_bench_row *r) { return cln_bench_noisy(r) ? "~" : " "; }

static void print_row(const cln_bench_row *r)
{
    char time[16], label[80];
    const bool norm = strcmp(r->norm, "-") != 0;
    snprintf(label, sizeof label, "%s%s%s", r->what, norm ? " " : "", norm ? r->norm : "");
    printf("%-14.14s %-18.18s %-15s %9s%s", label, r->shape, r->direction, cln_bench_time_text(r->median, time), mark(r));
    if (r->flops > 2 * r->bytes) /* norms and the like: GB/s of algorithmic bytes, whatever binds them */
        printf(" %8.1f GFLOP/s", 1e-9 * r->flops / r->median);
    else
        printf(" %8.1f GB/s   ", 1e-9 * r->bytes / r->median);
    if (r->ceiling > 0)
        printf(" %4.0f %% of %s", 100 * r->ceiling / r->median, r->bound);
    printf("\n");
}

static void print_view(const cln_bench_report *r, const char *view, const char *title)
{
    bool any = false;
    for (int i = 0; i < r->n_rows; i++) {
        if (strcmp(r->rows[i].view, view))
            continue;
        if (!any)
            printf("%s\n%-14s %-18s %-15s %9s  %8s         %s\n", title, "layer", "shape", "direction", "median", "rate",
                   "ceiling");
        any = true;
        print_row(&r->rows[i]);
    }
    if (any)
        printf("\n");
}

static void print_stage_line(const layers_bench *b, const cln_bench_row *first)
{
    char time[16];
    printf("  %-9s", first->direction);
    for (int k = 0; k < b->o.n_norms; k++) {
        const cln_bench_row *row = sibling(&b->report, first, b->o.norms[k]);
        if (!row && !strcmp(first->norm, "-"))
            row = k == b->o.n_norms - 1 ? first : NULL;
        if (!row)
            printf(" %16s", "");
        else if (row->ratio > 0)
            printf(" %8s%s%+5.0f %%", cln_bench_time_text(row->median, time), mark(row), 100 * (row->ratio - 1));
        else
            printf(" %8s%s       ", cln_bench_time_text(row->median, time), mark(row));
    }
    printf("\n");
}

/* "+7.4"; "-" where the filter left none of a direction */
static const char *percent_more(const cln_bench_interval *price, char text[16])
{
    if (!(price->ratio > 0))
        return "-";
    snprintf(text, 16, "%+.1f", 100 * (price->ratio - 1));
    return text;
}

static int print_stages(const layers_bench *b, cln_error *err)
{
    const cln_bench_report *r = &b->report;
    const char *last = "";
    bool any = false;
    int rc = CLN_OK;
    for (int i = 0; i < r->n_rows; i++) {
        const cln_bench_row *row = &r->rows[i];
        bool seen = strcmp(row->view, "stage") != 0;
        for (int j = 0; j < i && !seen; j++)
            seen = !strcmp(r->rows[j].view, row->view) && !strcmp(r->rows[j].what, row->what) &&
                   !strcmp(r->rows[j].direction, row->direction);
        if (seen)
            continue;
        if (!any) {
            printf("Each stage in its place: median, and the price against the same stage without a norm\n%-11s", "");
            for (int k = 0; k < b->o.n_norms; k++)
                printf(" %8s        ", b->o.norms[k]);
            printf("\n");
        }
        any = true;
        if (strcmp(last, row->what))
            printf("%s  %s\n", row->what, row->shape);
        last = row->what;
        print_stage_line(b, row);
    }
    if (!any)
        return rc;
    printf("\n");
    for (int k = 0; k < b->o.n_norms && !rc; k++) {
        cln_bench_interval all = {0, 0, 0}, fwd = all, bwd = all;
        char text[2][16];
        double seconds, ignored;
        rc = price_all(r, b->o.norms[k], NULL, &all, &seconds, err);
        if (!rc)
            rc = price_all(r, b->o.norms[k], "forward", &fwd, &ignored, err);
        if (!rc)
            rc = price_all(r, b->o.norms[k], "backward", &bwd, &ignored, err);
        if (!rc && all.ratio > 0 && strcmp(b->o.norms[k], "none"))
            printf("%-5s all stages %7.2f ms: %+5.1f %% against none (95 %%: %+.1f .. %+.1f; fwd %s, bwd %s)\n",
                   b->o.norms[k], 1e3 * seconds, 100 * (all.ratio - 1), 100 * (all.low - 1), 100 * (all.high - 1),
                   percent_more(&fwd, text[0]), percent_more(&bwd, text[1]));
    }
    printf("\n");
    return rc;
}

static int print_tables(const layers_bench *b, double seconds, cln_error *err)
{
    int noisy = 0;
    for (int i = 0; i < b->report.n_rows; i++)
        noisy += cln_bench_noisy(&b->report.rows[i]);
    cln_bench_print_context(&b->report);
    print_view(&b->report, "alone", "Each layer alone");
    print_view(&b->report, "gemm", "Convolutions by im2col and CLBlast's GEMM");
    int rc = print_stages(b, err);
    printf("model %s, batch %d: %d rows in %.0f s, of which %.1f s to compile and place; ~: noisy (%d rows),\n"
           "coefficient of variation above %d %%, or medians of the two visits more than %d %% apart; rates\n"
           "count the FLOPs of direct convolution, of which Winograd's transforms need a quarter: hence above\n"
           "100 %% of the ceiling\n",
           b->o.model, b->o.batches[0], b->report.n_rows, seconds, b->compile, noisy, CLN_BENCH_NOISY_PERCENT,
           CLN_BENCH_DRIFT_PERCENT);
    return rc;
}

/* ---- the command --------------------------------------------------------------------------------- */

static int set_option(void *arg, const char *name, const char *value, cln_error *err)
{
    layers_bench *b = arg;
    char text[64], *rest = NULL;
    if (!strcmp(name, "roofline") || !strcmp(name, "prices"))
        return cln_bench_picture(name[0] == 'r' ? &b->roofline : &b->prices, value, err);
    memset(b->view, 0, sizeof b->view);
    snprintf(text, sizeof text, "%s", value);
    for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        int v = 0;
        while (v < VIEWS && strcmp(views[v], word))
            v++;
        if (v == VIEWS)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "--view: '%s' is none of alone, gemm, stage", word);
        b->view[v] = true;
    }
    return CLN_OK;
}

static int run_views(layers_bench *b, cln_error *err)
{
    cln_net *nets[CLN_BENCH_MAX_NORMS] = {NULL};
    const cln_shape input = {b->o.batches[0], 32, 32, 3};
    int rc = CLN_OK;
    for (int k = 0; k < b->o.n_norms && !rc; k++)
        rc = cln_net_load(b->o.model, b->o.norms[k], 0, 10, input, &nets[k], err);
    if (!rc)
        rc = cln_bench_peaks_measure(b->dev, 2.0, &b->report.context.peaks, err);
    for (int i = 0; i < VISITS * VIEWS && !rc; i++) {
        const int v = i % VIEWS;
        if (b->view[v])
            rc = v == STAGE ? bench_stages(b, nets, err) : bench_alone(b, v, nets, err);
    }
    if (!rc)
        rc = price_rows(&b->report, err);
    for (int k = 0; k < CLN_BENCH_MAX_NORMS; k++)
        cln_net_free(nets[k]);
    return rc;
}

static int write_all(const layers_bench *b, cln_error *err)
{
    const cln_bench_report *r = &b->report;
    int rc = cln_bench_write(r, &b->o, err);
    if (!rc && b->o.plot)
        rc = cln_bench_plot_stages(r, b->o.plot, err);
    if (!rc && b->roofline)
        rc = cln_bench_plot_roofline(r, b->roofline, err);
    return !rc && b->prices ? cln_bench_plot_prices(r, b->prices, err) : rc;
}

/* Prices need the stages without a norm. */
static void add_none(layers_bench *b)
{
    bool there = b->o.n_norms == CLN_BENCH_MAX_NORMS || !b->view[STAGE] || b->o.filter;
    for (int k = 0; k < b->o.n_norms; k++)
        there = there || !strcmp(b->o.norms[k], "none");
    if (!there)
        strcpy(b->o.norms[b->o.n_norms++], "none");
}

int cln_bench_layers(int argc, char **argv)
{
    static const char *const flags[] = {"view=", "roofline=", "prices=", NULL};
    layers_bench b = {.o = {.model = CLN_NET_DEFAULT, .norms = {"bn", "ln", "gn", "in", "none"}, .n_norms = 5, .batches = {128},
                            .n_batches = 1, .min_time = 0.1},
                      .view = {true, true, true}};
    cln_error err = {0};
    const double began = cln_now();
    const int status = cln_bench_parse(argc, argv, &b.o, help, flags, set_option, &b);
    if (status >= 0)
        return status;
    if (b.o.n_batches > 1)
        return cln_cli_usage("bench layers", "--batch takes one number here");
    add_none(&b);
    int rc = cln_bench_open(&b.o, &b.dev, &err);
    if (!rc) {
        cln_bench_context_fill(&b.report.context, b.dev, argc, argv);
        rc = run_views(&b, &err);
        end_progress();
    }
    if (!rc && !b.report.n_rows)
        rc = CLN_FAIL(&err, CLN_ERR_ARGUMENT, "no row fits --filter '%s'", b.o.filter ? b.o.filter : "");
    if (!rc && !cln_bench_quiet(&b.o))
        rc = print_tables(&b, cln_now() - began, &err);
    if (!rc)
        rc = write_all(&b, &err);
    cln_bench_report_clear(&b.report);
    cln_bench_close(b.dev);
    return rc ? cln_cli_fail(&err) : CLN_EXIT_OK;
}
