/* The roofline of a device (Williams, Waterman and Patterson 2009): work per second against work per byte, below
 * the roofs that its arithmetic and its memory put up. Costs are algorithmic, so that a dot may lie above the
 * roof of DRAM where a cache holds what is read again, or above that of arithmetic where an algorithm saves work. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "op.h"
#include "plot.h"

static const double GIGA = 1e9;

/* ---- kinds of rows ----------------------------------------------------------------------------- */

typedef enum { CONV_FORWARD, CONV_DATA, CONV_PARAMS, CONV_BACKWARD, NORMS, OTHERS, KINDS } kind;

static const struct {
    const char *label;
    const cln_colour *colour;
} kinds[KINDS] = {[CONV_FORWARD] = {"convolution, forward", &CLN_BLUE},
                  [CONV_DATA] = {"convolution, backward to data", &CLN_VERMILLION},
                  [CONV_PARAMS] = {"convolution, backward to parameters", &CLN_ORANGE},
                  [CONV_BACKWARD] = {"convolution, backward, both", &CLN_PURPLE},
                  [NORMS] = {"norms", &CLN_GREEN},
                  [OTHERS] = {"others", &CLN_GREY}};

enum { ALONE, STAGE, VIEWS };
static const char *const views[VIEWS][3] = {[ALONE] = {"alone", "norms", "gemm"}, [STAGE] = {"stage"}};
static const char *const view_labels[VIEWS] = {"a layer alone", "a stage"};

/* What a row does, by the words of its name, "3.conv+norm+relu": a convolution where there is one, else a norm. */
static kind kind_of(const cln_bench_row *row)
{
    kind best = strcmp(row->view, "norms") == 0 ? NORMS : OTHERS; /* there its name is that of a shape */
    char word[64];

    for (const char *s = row->what; *s != '\0';) {
        size_t n = strcspn(s, "+");
        snprintf(word, sizeof word, "%.*s", (int)n, s);
        s += n + (s[n] == '+' ? 1 : 0);
        const char *dot = strchr(word, '.'), *name = dot == NULL ? word : dot + 1;
        const cln_op *op = cln_op_find(name);
        if (strcmp(name, "conv") == 0 || strcmp(name, "dense") == 0) {
            best = strcmp(row->direction, "forward") == 0           ? CONV_FORWARD
                   : strcmp(row->direction, "backward-data") == 0   ? CONV_DATA
                   : strcmp(row->direction, "backward-params") == 0 ? CONV_PARAMS
                                                                    : CONV_BACKWARD;
            break;
        }
        if (strcmp(name, "norm") == 0 || (op != NULL && op->norm))
            best = NORMS;
    }
    return best;
}

static bool has_place(const cln_bench_row *row, int view)
{
    bool there = false;

    for (int i = 0; i < 3 && views[view][i] != NULL; i++)
        there = there || cln_plot_usable(row, views[view][i]);
    return there && row->flops > 0 && row->bytes > 0 && row->direction[0] != '\0' &&
           strcmp(row->direction, "-") != 0;
}

/* ---- dots -------------------------------------------------------------------------------------- */

enum { LABELS = VIEWS + KINDS, SERIES = LABELS + VIEWS * KINDS };

typedef struct dots {
    double *x, *y;      /* FLOP per byte and GFLOP/s of all rows in the picture */
    const char **texts; /* NULL but for the extremes */
    char (*written)[96];
    const cln_bench_row **rows;
    int n;
    double high; /* the highest y */
    cln_series
        series[SERIES]; /* the legend's entries, then one for each view and kind that there is */
    int n_series;
} dots;

static void dots_free(dots *d)
{
    free(d->x);
    free(d->y);
    free(d->texts);
    free(d->written);
    free(d->rows);
}

static void write_text(dots *d, int i)
{
    const cln_bench_row *row = d->rows[i];
    const bool norm = row->norm[0] != '\0' && strcmp(row->norm, "-") != 0;

    snprintf(d->written[i], sizeof d->written[i], "%.32s%s%s", row->what, norm ? " " : "",
             norm ? row->norm : "");
    d->texts[i] = d->written[i];
}

/* Labels for the fastest and the slowest of the dots [first, d->n), and for the one that uses least of what
 * its ceiling allows. */
static void label_extremes(dots *d, int first)
{
    int fastest = first, slowest = first, worst = first;

    for (int i = first; i < d->n; i++) {
        if (d->y[i] > d->y[fastest])
            fastest = i;
        if (d->y[i] < d->y[slowest])
            slowest = i;
        if (d->rows[i]->ceiling / d->rows[i]->median <
            d->rows[worst]->ceiling / d->rows[worst]->median)
            worst = i;
    }
    write_text(d, fastest);
    write_text(d, slowest);
    write_text(d, worst);
}

/* The highest GFLOP/s that the picture must show: of the dots and of the roof; where arithmetic's is not known, of
 * where memory's stands above the leftmost dot. */
static double top_of(const dots *d, const cln_bench_peaks *p)
{
    double top = fmax(d->high, p->flops / GIGA), left = d->x[0];

    for (int i = 1; i < d->n; i++)
        left = fmin(left, d->x[i]);
    for (int i = 0; i < p->n_bandwidth && i < CLN_BENCH_BANDWIDTHS && !(p->flops > 0); i++)
        top = fmax(top, left * p->bandwidth[i].copy / GIGA);
    return top;
}

static cln_series dots_series(int view, kind k)
{
    return (cln_series){.colour = *kinds[k].colour,
                        .size = view == ALONE ? 5 : 4.5,
                        .marker = view == ALONE ? CLN_MARKER_DOT : CLN_MARKER_DIAMOND,
                        .hollow = view == STAGE};
}

static void dots_add(dots *d, const cln_bench_report *r, int view, kind k)
{
    const int first = d->n;

    for (int i = 0; i < r->n_rows; i++) {
        const cln_bench_row *row = &r->rows[i];
        if (!has_place(row, view) || kind_of(row) != k)
            continue;
        d->x[d->n] = row->flops / row->bytes;
        d->y[d->n] = row->flops / row->median / GIGA;
        d->high = fmax(d->high, d->y[d->n]);
        d->rows[d->n++] = row;
    }
    if (d->n == first)
        return;
    label_extremes(d, first);
    cln_series s = dots_series(view, k);
    s.x = d->x + first;
    s.y = d->y + first;
    s.texts = d->texts + first;
    s.count = d->n - first;
    d->series[d->n_series++] = s;
}

/* Entries of the legend: a colour for each kind, a marker for each view, of those that there are. */
static void dots_legend(dots *d, const cln_bench_report *r)
{
    bool kind_there[KINDS] = {0}, view_there[VIEWS] = {0};

    for (int i = 0; i < r->n_rows; i++)
        for (int v = 0; v < VIEWS; v++)
            if (has_place(&r->rows[i], v))
                kind_there[kind_of(&r->rows[i])] = view_there[v] = true;
    for (int k = 0; k < KINDS; k++)
        if (kind_there[k]) {
            cln_series s = dots_series(ALONE, (kind)k);
            s.label = kinds[k].label;
            s.marker = CLN_MARKER_SQUARE;
            d->series[d->n_series++] = s;
        }
    for (int v = 0; v < VIEWS; v++)
        if (view_there[v]) {
            cln_series s = dots_series(v, OTHERS);
            s.label = view_labels[v];
            s.colour = CLN_INK;
            d->series[d->n_series++] = s;
        }
}

static int dots_collect(dots *d, const cln_bench_report *r, const char *path, cln_error *err)
{
    const size_t n = (size_t)r->n_rows + 1;

    *d = (dots){.x = calloc(n, sizeof *d->x),
                .y = calloc(n, sizeof *d->y),
                .texts = calloc(n, sizeof *d->texts),
                .written = calloc(n, sizeof *d->written),
                .rows = calloc(n, sizeof *d->rows)};
    if (d->x == NULL || d->y == NULL || d->texts == NULL || d->written == NULL || d->rows == NULL)
        return cln_plot_no_memory(path, err);
    dots_legend(d, r);
    for (int v = 0; v < VIEWS; v++)
        for (int k = 0; k < KINDS; k++)
            dots_add(d, r, v, (kind)k);
    return d->n > 0 ? 0
                    : CLN_FAIL(err, CLN_ERR_ARGUMENT,
                               "no rows of layers or stages with FLOPs and bytes to plot");
}

/* ---- roofs ------------------------------------------------------------------------------------- */

enum { MAX_ROOFS = 3 };

typedef struct roofs {
    cln_rule rule[MAX_ROOFS];
    char text[MAX_ROOFS][96];
    int n;
    double low, high; /* FLOP per byte: the ridges, between which the picture is of interest */
} roofs;

static const char *size_text(double bytes, char out[24])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    int k = 0;

    for (; bytes >= 1024 && k < 4; k++)
        bytes /= 1024;
    snprintf(out, 24, "%.3g %s", bytes, units[k]);
    return out;
}

/* A bandwidth's roof, which goes up to where it meets that of arithmetic. */
static void add_slope(roofs *s, const char *name, double bandwidth, double bytes, double flops,
                      bool below)
{
    const double far = 1e6;
    const double ridge = flops > 0 ? flops / bandwidth : far, start = ridge / 1e12;
    char size[24];

    snprintf(s->text[s->n], sizeof s->text[0], "%s %.3g GB/s (copy, %s)", name, bandwidth / GIGA,
             size_text(bytes, size));
    s->rule[s->n] = (cln_rule){.x = {start, ridge},
                               .y = {start * bandwidth / GIGA, ridge * bandwidth / GIGA},
                               .text = s->text[s->n],
                               .below = below,
                               .colour = CLN_INK,
                               .width = below ? 1.8 : 1.3,
                               .dashed = !below};
    s->n++;
    if (flops > 0) {
        s->low = s->low == 0 ? ridge : fmin(s->low, ridge);
        s->high = fmax(s->high, ridge);
    }
}

static int roofs_make(roofs *s, const cln_bench_peaks *p, cln_error *err)
{
    int best = -1, largest = -1;

    *s = (roofs){0};
    for (int i = 0; i < p->n_bandwidth && i < CLN_BENCH_BANDWIDTHS; i++) {
        if (!(p->bandwidth[i].copy > 0))
            continue;
        best = best < 0 || p->bandwidth[i].copy > p->bandwidth[best].copy ? i : best;
        largest = largest < 0 || p->bandwidth[i].bytes > p->bandwidth[largest].bytes ? i : largest;
    }
    if (best < 0 && !(p->flops > 0))
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "no peaks of the device to plot");
    if (largest >= 0)
        add_slope(s, "memory", p->bandwidth[largest].copy, p->bandwidth[largest].bytes, p->flops,
                  true);
    if (best >= 0 && best != largest)
        add_slope(s, "cache", p->bandwidth[best].copy, p->bandwidth[best].bytes, p->flops, false);
    if (!(p->flops > 0))
        return 0;
    const double from = s->low > 0 ? s->low : 1e-6;
    snprintf(s->text[s->n], sizeof s->text[0], "arithmetic %.3g GFLOP/s (float32)",
             p->flops / GIGA);
    s->rule[s->n] = (cln_rule){.x = {from, fmax(from, 1) * 1e12},
                               .y = {p->flops / GIGA, p->flops / GIGA},
                               .text = s->text[s->n],
                               .at_end = true,
                               .colour = CLN_INK,
                               .width = 1.8};
    s->n++;
    return 0;
}

/* ---- the picture ------------------------------------------------------------------------------- */

int cln_bench_plot_roofline(const cln_bench_report *r, const char *path, cln_error *err)
{
    const double room = 1.3; /* for the text above the roof */
    char foot[CLN_PLOT_FOOT];
    roofs roof;
    dots d;
    int rc = dots_collect(&d, r, path, err);

    if (rc == 0)
        rc = roofs_make(&roof, &r->context.peaks, err);
    if (rc == 0) {
        const double top = room * top_of(&d, &r->context.peaks);
        cln_plot_footnote(r, "alone", "stage", foot);
        const cln_panel panel = {
            .x = {.label = "arithmetic intensity (FLOP per byte)",
                  .log = true,
                  .at_least = {roof.low / 2, roof.high * 4}},
            .y = {.label = "GFLOP/s", .log = true, .at_least = {top / 10, top}},
            .rules = roof.rule,
            .n_rules = roof.n,
            .series = d.series,
            .n_series = d.n_series};
        const cln_chart chart = {.title = "Roofline",
                                 .subtitle = "FLOPs of direct convolution (Winograd needs a quarter); each input read once, "
                                             "each output written once; median times",
                                 .footnote = foot,
                                 .panels = &panel,
                                 .n_panels = 1,
                                 .legend_above = true,
                                 .width = CLN_PLOT_WIDTH,
                                 .height = 800};
        rc = cln_chart_write(path, &chart, err);
    }
    dots_free(&d);
    return rc;
}
