/* Pictures of a report. Each function picks rows, arranges their figures, and hands a description to
 * runtime/chart.h. Rows that were skipped have no median and are left out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "plot.h"

bool cln_plot_usable(const cln_bench_row *r, const char *view)
{
    return strcmp(r->view, view) == 0 && r->median > 0 && r->median < 1e100;
}

/* ---- names, each once, in the order in which they come ----------------------------------------- */

typedef struct names {
    const char **list; /* borrowed from rows */
    int n;
} names;

static int names_find(const names *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->list[i], name) == 0)
            return i;
    return -1;
}

/* The list has room for all rows. */
static void names_add(names *s, const char *name)
{
    if (names_find(s, name) < 0)
        s->list[s->n++] = name;
}

static const struct {
    const char *norm;
    const cln_colour *colour;
} norm_colours[] = {{"none", &CLN_GREY}, {"bn", &CLN_BLUE},   {"ln", &CLN_VERMILLION},
                    {"gn", &CLN_GREEN},  {"in", &CLN_PURPLE}, {"-", &CLN_INK}};
enum { NORM_COLOURS = sizeof norm_colours / sizeof norm_colours[0] };

/* A norm has the same colour in every picture; those that are not known take what is left in turn. */
static cln_colour norm_colour(const names *norms, int which)
{
    const cln_colour left[] = {CLN_ORANGE, CLN_SKY, CLN_YELLOW};
    int unknown = 0;

    for (int i = 0; i <= which; i++) {
        int k = 0;
        while (k < NORM_COLOURS && strcmp(norm_colours[k].norm, norms->list[i]) != 0)
            k++;
        if (k == NORM_COLOURS)
            unknown++;
        else if (i == which)
            return *norm_colours[k].colour;
    }
    return left[(unknown - 1) % 3];
}

/* The known ones in their order, "-" last. */
static int norm_rank(const char *norm)
{
    if (strcmp(norm, "-") == 0)
        return NORM_COLOURS + 1;
    for (int k = 0; k < NORM_COLOURS; k++)
        if (strcmp(norm_colours[k].norm, norm) == 0)
            return k;
    return NORM_COLOURS;
}

static void names_sort_norms(names *s)
{
    for (int i = 1; i < s->n; i++)
        for (int k = i; k > 0 && norm_rank(s->list[k]) < norm_rank(s->list[k - 1]); k--) {
            const char *swap = s->list[k];
            s->list[k] = s->list[k - 1];
            s->list[k - 1] = swap;
        }
}

static const char *norm_label(const char *norm)
{
    static const char *const labels[][2] = {{"none", "no norm"},     {"bn", "batch norm"},
                                            {"ln", "layer norm"},    {"gn", "group norm"},
                                            {"in", "instance norm"}, {"-", "has no norm"}};

    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        if (strcmp(labels[i][0], norm) == 0)
            return labels[i][1];
    return norm;
}

/* ---- footnotes and errors ---------------------------------------------------------------------- */

void cln_plot_footnote(const cln_bench_report *r, const char *view, const char *other,
                       char out[CLN_PLOT_FOOT])
{
    const cln_bench_context *c = &r->context;
    char batch[48] = "";
    int low = 0, high = 0;

    for (int i = 0; i < r->n_rows; i++) {
        int b = r->rows[i].batch;
        if ((!cln_plot_usable(&r->rows[i], view) && !cln_plot_usable(&r->rows[i], other)) || b <= 0)
            continue;
        low = low == 0 || b < low ? b : low;
        high = b > high ? b : high;
    }
    if (low > 0 && low == high)
        snprintf(batch, sizeof batch, "  \xc2\xb7  batch %d", low);
    else if (low > 0)
        snprintf(batch, sizeof batch, "  \xc2\xb7  batches %d to %d", low, high);
    snprintf(out, CLN_PLOT_FOOT, "%.60s%s%.40s%s  \xc2\xb7  %s%s%s%s",
             c->device[0] != '\0' ? c->device : "unknown device",
             c->platform[0] != '\0' ? " (" : "", c->platform, c->platform[0] != '\0' ? ")" : "",
             c->date[0] != '\0' ? c->date : "no date", batch,
             c->program[0] != '\0' ? "  \xc2\xb7  " : "", c->program);
}

int cln_plot_no_rows(const char *views, cln_error *err)
{
    return CLN_FAIL(err, CLN_ERR_ARGUMENT, "no rows of view %s to plot", views);
}

int cln_plot_no_memory(const char *path, cln_error *err)
{
    return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to draw %s", path);
}

/* ---- stages: what the plot of stages and that of prices begin with ----------------------------- */

enum { FORWARD, BACKWARD, DIRECTIONS };

typedef struct stages {
    names stages, norms;
    double *seconds; /* [(stage * n_norms + norm) * DIRECTIONS + direction]; NAN: not measured */
    const cln_bench_row **rows; /* likewise; NULL: not measured */
    const char **block;
    int samples; /* of the row that has the fewest */
} stages;

static int direction_of(const cln_bench_row *row)
{
    return strcmp(row->direction, "forward") == 0    ? FORWARD
           : strcmp(row->direction, "backward") == 0 ? BACKWARD
                                                     : -1;
}

static void stages_free(stages *s)
{
    free(s->seconds);
    free(s->rows);
    free(s->block);
}

static int stages_collect(stages *s, const cln_bench_report *r, const char *path, cln_error *err)
{
    const size_t n = (size_t)r->n_rows;

    *s = (stages){.block = calloc(2 * n + 1, sizeof *s->block)};
    if (s->block == NULL)
        return cln_plot_no_memory(path, err);
    s->stages.list = s->block;
    s->norms.list = s->block + n;
    for (size_t i = 0; i < n; i++) {
        const cln_bench_row *row = &r->rows[i];
        if (!cln_plot_usable(row, "stage") || direction_of(row) < 0)
            continue;
        names_add(&s->stages, row->what);
        names_add(&s->norms, row->norm);
        if (s->samples == 0 || row->n_samples < s->samples)
            s->samples = row->n_samples;
    }
    if (s->stages.n == 0)
        return cln_plot_no_rows("stage", err);
    names_sort_norms(&s->norms);
    const size_t values = (size_t)s->stages.n * (size_t)s->norms.n * DIRECTIONS;
    s->seconds = malloc(values * sizeof *s->seconds);
    s->rows = calloc(values, sizeof *s->rows);
    if (s->seconds == NULL || s->rows == NULL)
        return cln_plot_no_memory(path, err);
    for (size_t i = 0; i < values; i++)
        s->seconds[i] = NAN;
    for (size_t i = 0; i < n; i++) {
        const cln_bench_row *row = &r->rows[i];
        if (!cln_plot_usable(row, "stage") || direction_of(row) < 0)
            continue;
        int at = names_find(&s->stages, row->what) * s->norms.n + names_find(&s->norms, row->norm);
        s->seconds[at * DIRECTIONS + direction_of(row)] = row->median;
        s->rows[at * DIRECTIONS + direction_of(row)] = row;
    }
    return 0;
}

/* Colours of the norms' bars, [norm * DIRECTIONS + direction]: full forward, lighter backward. */
static void norm_tints(const names *norms, int first, cln_colour *out)
{
    for (int i = first; i < norms->n; i++) {
        out[(i - first) * DIRECTIONS + FORWARD] = norm_colour(norms, i);
        out[(i - first) * DIRECTIONS + BACKWARD] = cln_colour_tint(norm_colour(norms, i), 0.5);
    }
}

static const char *const direction_labels[DIRECTIONS] = {"lower part: forward",
                                                         "upper part: backward"};

int cln_bench_plot_stages(const cln_bench_report *r, const char *path, cln_error *err)
{
    char subtitle[128], foot[CLN_PLOT_FOOT];
    stages s;
    int rc = stages_collect(&s, r, path, err);

    cln_colour *colours = rc != 0 ? NULL : malloc((size_t)s.norms.n * DIRECTIONS * sizeof *colours);
    const char **labels = rc != 0 ? NULL : malloc((size_t)s.norms.n * sizeof *labels);
    if (rc == 0 && (colours == NULL || labels == NULL))
        rc = cln_plot_no_memory(path, err);
    if (rc == 0) {
        norm_tints(&s.norms, 0, colours);
        for (int i = 0; i < s.norms.n; i++)
            labels[i] = norm_label(s.norms.list[i]);
        for (int i = 0; i < s.stages.n * s.norms.n * DIRECTIONS; i++)
            s.seconds[i] *= 1e3;
        snprintf(subtitle, sizeof subtitle,
                 s.samples > 0 ? "medians of %d or more samples" : "medians", s.samples);
        cln_plot_footnote(r, "stage", "", foot);
        const cln_bars bars = {.groups = s.stages.list,
                               .bars = labels,
                               .parts = direction_labels,
                               .colours = colours,
                               .values = s.seconds,
                               .n_groups = s.stages.n,
                               .n_bars = s.norms.n,
                               .n_parts = DIRECTIONS};
        const cln_panel panel = {
            .x.label = "stage", .y.label = "time of one batch (ms)", .bars = &bars};
        const cln_chart chart = {.title = "Time of each stage by norm",
                                 .subtitle = subtitle,
                                 .footnote = foot,
                                 .panels = &panel,
                                 .n_panels = 1,
                                 .legend_above = true,
                                 .width = CLN_PLOT_WIDTH,
                                 .height = 640};
        rc = cln_chart_write(path, &chart, err);
    }
    free(labels);
    free(colours);
    stages_free(&s);
    return rc;
}

/* ---- prices ------------------------------------------------------------------------------------ */

/* Price of a norm for each direction, in percent of all that the step without a norm takes: over the stages
 * and directions that were measured with it as well as without it. Stages that have no norm count for both. */
static bool price_of(const stages *s, int norm, double out[DIRECTIONS])
{
    const int none = names_find(&s->norms, "none"), always = names_find(&s->norms, "-");
    double base = 0;
    int pairs = 0;

    out[FORWARD] = out[BACKWARD] = 0;
    for (int i = 0; i < s->stages.n; i++)
        for (int d = 0; d < DIRECTIONS; d++) {
            const double *of = s->seconds + (size_t)(i * s->norms.n) * DIRECTIONS + d;
            double without = of[none * DIRECTIONS], with = of[norm * DIRECTIONS];
            if (always >= 0 && !isnan(of[always * DIRECTIONS]))
                base += of[always * DIRECTIONS];
            if (isnan(without))
                continue;
            base += without;
            if (isnan(with))
                continue;
            out[d] += with - without;
            pairs++;
        }
    for (int d = 0; d < DIRECTIONS; d++)
        out[d] *= 100 / base;
    return pairs > 0;
}

/* Interval of a norm's price, by the rounds that rows share: the price is the ratio of all stages with the norm to
 * all without it, less 1. Rows without samples (of an older report) give none: low and high become NAN. */
static int price_interval(const stages *s, int norm, double *low, double *high, cln_error *err)
{
    const int none = names_find(&s->norms, "none"), always = names_find(&s->norms, "-");
    const size_t most = 2 * (size_t)s->stages.n * DIRECTIONS;
    const cln_bench_row **with = calloc(2 * most, sizeof *with), **without;
    cln_bench_interval interval;
    bool sampled = true;
    int n = 0, rc;

    *low = *high = NAN;
    if (with == NULL)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory for the intervals of prices");
    without = with + most;
    for (int i = 0; i < s->stages.n; i++)
        for (int d = 0; d < DIRECTIONS; d++) {
            const cln_bench_row *const *of = s->rows + (size_t)(i * s->norms.n) * DIRECTIONS + d;
            const cln_bench_row *mine = of[norm * DIRECTIONS], *base = of[none * DIRECTIONS];
            const cln_bench_row *both = always < 0 ? NULL : of[always * DIRECTIONS];
            if (base != NULL) {
                with[n] = mine == NULL ? base : mine;
                without[n++] = base;
            }
            if (both != NULL) {
                with[n] = both;
                without[n++] = both;
            }
        }
    for (int i = 0; i < n; i++)
        sampled = sampled && with[i]->n_samples > 1 && with[i]->samples != NULL &&
                  without[i]->n_samples > 1 && without[i]->samples != NULL;
    rc = sampled ? cln_bench_ratio(with, n, without, n, 0.95, &interval, err) : 0;
    if (sampled && rc == 0) {
        *low = 100 * (interval.low - 1);
        *high = 100 * (interval.high - 1);
    }
    free(with);
    return rc;
}

typedef struct prices { /* one entry a norm that has a price */
    const char *label[CLN_BENCH_MAX_NORMS], *text[CLN_BENCH_MAX_NORMS];
    double value[CLN_BENCH_MAX_NORMS * DIRECTIONS];
    cln_colour colour[CLN_BENCH_MAX_NORMS * DIRECTIONS];
    double low[CLN_BENCH_MAX_NORMS], high[CLN_BENCH_MAX_NORMS]; /* of the sum's 95 % interval */
    char written[CLN_BENCH_MAX_NORMS][24];
    int n;
} prices;

static int prices_collect(prices *p, const stages *s, cln_error *err)
{
    *p = (prices){0};
    if (names_find(&s->norms, "none") < 0)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT,
                        "no rows of view stage with norm none: prices are against them");
    if (s->norms.n > CLN_BENCH_MAX_NORMS)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "%d norms to plot: at most %d are possible",
                        s->norms.n, CLN_BENCH_MAX_NORMS);
    for (int i = 0; i < s->norms.n; i++) {
        double *v = p->value + (size_t)p->n * DIRECTIONS;
        if (strcmp(s->norms.list[i], "none") == 0 || strcmp(s->norms.list[i], "-") == 0 ||
            !price_of(s, i, v))
            continue;
        int rc = price_interval(s, i, &p->low[p->n], &p->high[p->n], err);
        if (rc != 0)
            return rc;
        p->label[p->n] = norm_label(s->norms.list[i]);
        const double sum = v[FORWARD] + v[BACKWARD];
        snprintf(p->written[p->n], sizeof p->written[0], "%s%.1f %%",
                 sum < 0 ? "\xe2\x88\x92" : "+", fabs(sum));
        p->text[p->n] = p->written[p->n];
        p->colour[p->n * DIRECTIONS + FORWARD] = norm_colour(&s->norms, i);
        p->colour[p->n * DIRECTIONS + BACKWARD] = cln_colour_tint(norm_colour(&s->norms, i), 0.5);
        p->n++;
    }
    return p->n > 0 ? 0
                    : CLN_FAIL(err, CLN_ERR_ARGUMENT, "no rows of view stage with a norm to plot");
}

int cln_bench_plot_prices(const cln_bench_report *r, const char *path, cln_error *err)
{
    static const char *const parts[DIRECTIONS] = {"full tone: forward", "light tone: backward"};
    char foot[CLN_PLOT_FOOT];
    stages s;
    prices p;
    int rc = stages_collect(&s, r, path, err);

    if (rc == 0)
        rc = prices_collect(&p, &s, err);
    if (rc == 0) {
        cln_plot_footnote(r, "stage", "", foot);
        const cln_bars bars = {.groups = p.label,
                               .parts = parts,
                               .colours = p.colour,
                               .by_group = true,
                               .values = p.value,
                               .low = p.low,
                               .high = p.high,
                               .texts = p.text,
                               .n_groups = p.n,
                               .n_bars = 1,
                               .n_parts = DIRECTIONS};
        const cln_panel panel = {.y.label = "extra time (% of all stages without a norm)",
                                 .bars = &bars};
        const cln_chart chart = {.title = "Price of a norm",
                                 .subtitle = "what its stages take longer than the same stages "
                                             "without a norm, by medians; 95 % intervals",
                                 .footnote = foot,
                                 .panels = &panel,
                                 .n_panels = 1,
                                 .legend_above = true,
                                 .width = 1200,
                                 .height = 600};
        rc = cln_chart_write(path, &chart, err);
    }
    stages_free(&s);
    return rc;
}

/* ---- batches ----------------------------------------------------------------------------------- */

enum { TRAINING, INFERENCE, VIEWS };
static const char *const view_names[VIEWS] = {"step", "infer"};
static const char *const view_titles[VIEWS] = {"training", "inference"};

typedef struct speeds { /* of one view */
    names models, norms;
    const char **block;
    double *values;     /* what the series point to */
    char (*labels)[96]; /* of the series */
    cln_series *series;
    int n_series;
    double low, high; /* of all images per second */
} speeds;

static void speeds_free(speeds *s)
{
    free(s->block);
    free(s->values);
    free(s->labels);
    free(s->series);
}

static int by_batch(const void *a, const void *b)
{
    const cln_bench_row *const *x = a, *const *y = b;

    return ((*x)->batch > (*y)->batch) - ((*x)->batch < (*y)->batch);
}

/* The n rows of a line, into four columns of n values each. */
static void speeds_line(speeds *s, const cln_bench_row **rows, int n, double *columns, int model,
                        int norm)
{
    static const cln_marker markers[] = {CLN_MARKER_DOT, CLN_MARKER_SQUARE, CLN_MARKER_DIAMOND};
    double *x = columns, *y = x + n, *low = y + n, *high = low + n;
    char *label = s->labels[s->n_series];

    qsort(rows, (size_t)n, sizeof *rows, by_batch);
    for (int i = 0; i < n; i++) {
        x[i] = rows[i]->batch;
        y[i] = rows[i]->batch / rows[i]->median;
        low[i] = rows[i]->p90 > 0 ? rows[i]->batch / rows[i]->p90 : NAN;
        high[i] = rows[i]->p10 > 0 ? rows[i]->batch / rows[i]->p10 : NAN;
        s->low = s->low == 0 ? y[i] : fmin(s->low, y[i]);
        s->high = fmax(s->high, y[i]);
    }
    if (s->models.n > 1)
        snprintf(label, sizeof s->labels[0], "%.40s, %s", s->models.list[model],
                 norm_label(s->norms.list[norm]));
    else
        snprintf(label, sizeof s->labels[0], "%s", norm_label(s->norms.list[norm]));
    s->series[s->n_series++] = (cln_series){.label = label,
                                            .x = x,
                                            .y = y,
                                            .low = low,
                                            .high = high,
                                            .count = n,
                                            .colour = norm_colour(&s->norms, norm),
                                            .width = 2,
                                            .size = 4,
                                            .marker = markers[model % 3]};
}

static int speeds_collect(speeds *s, const cln_bench_report *r, const char *view, const char *path,
                          cln_error *err)
{
    const size_t n = (size_t)r->n_rows + 1;

    *s = (speeds){.block = calloc(2 * n, sizeof *s->block),
                  .values = calloc(4 * n, sizeof *s->values),
                  .labels = calloc(n, sizeof *s->labels),
                  .series = calloc(n, sizeof *s->series)};
    const cln_bench_row **rows = calloc(n, sizeof *rows);
    if (s->block == NULL || s->values == NULL || s->labels == NULL || s->series == NULL ||
        rows == NULL) {
        free(rows);
        return cln_plot_no_memory(path, err);
    }
    s->models.list = s->block;
    s->norms.list = s->block + n;
    for (int i = 0; i < r->n_rows; i++)
        if (cln_plot_usable(&r->rows[i], view) && r->rows[i].batch > 0) {
            names_add(&s->models, r->rows[i].what);
            names_add(&s->norms, r->rows[i].norm);
        }
    names_sort_norms(&s->norms);
    size_t used = 0;
    for (int model = 0; model < s->models.n; model++)
        for (int norm = 0; norm < s->norms.n; norm++) {
            int count = 0;
            for (int i = 0; i < r->n_rows; i++)
                if (cln_plot_usable(&r->rows[i], view) && r->rows[i].batch > 0 &&
                    strcmp(r->rows[i].what, s->models.list[model]) == 0 &&
                    strcmp(r->rows[i].norm, s->norms.list[norm]) == 0)
                    rows[count++] = &r->rows[i];
            if (count > 0)
                speeds_line(s, rows, count, s->values + used, model, norm);
            used += 4 * (size_t)count;
        }
    free(rows);
    return 0;
}

/* All batch sizes, ascending, each once. Returns their number. */
static int batches_of(const speeds *s, double *out)
{
    int n = 0;

    for (int i = 0; i < s->n_series; i++)
        for (int k = 0; k < s->series[i].count; k++) {
            double v = s->series[i].x[k];
            int at = n;
            while (at > 0 && out[at - 1] > v)
                at--;
            if (at > 0 && out[at - 1] == v)
                continue;
            memmove(out + at + 1, out + at, (size_t)(n - at) * sizeof *out);
            out[at] = v;
            n++;
        }
    return n;
}

static cln_panel batches_panel(const speeds *s, const char *title, const double *ticks, int n_ticks)
{
    const double wide = 50; /* beyond this ratio the slow ones would lie on the axis */
    const bool log = s->high > wide * s->low;

    return (cln_panel){.title = title,
                       .x = {.label = "images in a batch",
                             .log = true,
                             .tight = true,
                             .ticks = ticks,
                             .n_ticks = n_ticks},
                       .y = {.label = "images per second", .log = log, .zero = !log},
                       .series = s->series,
                       .n_series = s->n_series};
}

int cln_bench_plot_batches(const cln_bench_report *r, const char *path, cln_error *err)
{
    speeds s[VIEWS];
    double *ticks = malloc(VIEWS * ((size_t)r->n_rows + 1) * sizeof *ticks);
    cln_panel panels[VIEWS];
    char foot[CLN_PLOT_FOOT];
    int n = 0, rc = ticks == NULL ? cln_plot_no_memory(path, err) : 0;

    memset(s, 0, sizeof s);
    for (int v = 0; v < VIEWS && rc == 0; v++) {
        double *of = ticks + (size_t)v * ((size_t)r->n_rows + 1);
        rc = speeds_collect(&s[v], r, view_names[v], path, err);
        if (rc == 0 && s[v].n_series > 0) {
            panels[n] = batches_panel(&s[v], view_titles[v], of, batches_of(&s[v], of));
            n++;
        }
    }
    if (rc == 0 && n == 0)
        rc = cln_plot_no_rows("step or infer", err);
    if (rc == 0) {
        cln_plot_footnote(r, view_names[TRAINING], view_names[INFERENCE], foot);
        const cln_chart chart = {.title = "Images per second by batch size",
                                 .subtitle =
                                     "lines: medians; bands: the middle 80 % of the samples",
                                 .footnote = foot,
                                 .panels = panels,
                                 .n_panels = n,
                                 .legend_above = true,
                                 .width = n == 1 ? 1200 : CLN_PLOT_WIDTH,
                                 .height = 600};
        rc = cln_chart_write(path, &chart, err);
    }
    for (int v = 0; v < VIEWS; v++)
        speeds_free(&s[v]);
    free(ticks);
    return rc;
}
