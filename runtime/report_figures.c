#include "report_figures.h"

#include "chart_canvas.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCALE = 2, CURVES_HEIGHT = 400 };

/* Norms keep their colours from one picture to the next. */
static cln_colour colour_of(const char *norm, int place)
{
    const struct {
        const char *norm;
        cln_colour colour;
    } own[] = {{"bn", CLN_BLUE}, {"ln", CLN_VERMILLION}, {"gn", CLN_GREEN}, {"in", CLN_PURPLE}, {"none", CLN_GREY}};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(own[i].norm, norm) == 0)
            return own[i].colour;
    return place % 2 ? CLN_ORANGE : CLN_SKY;
}

static cln_marker marker_of(int place)
{
    static const cln_marker markers[] = {CLN_MARKER_DOT, CLN_MARKER_SQUARE, CLN_MARKER_DIAMOND};
    return markers[place % 3];
}

/* ---- curves -------------------------------------------------------------------------------------- */

enum { COLUMNS = 4 }; /* x, mean, low, high */

static cln_series curve(const cln_group *g, int place, size_t metric, double *block)
{
    const int n = cln_group_epochs(g);
    double *column[COLUMNS];
    for (int k = 0; k < COLUMNS; k++)
        column[k] = block + (size_t)k * (size_t)n;
    for (int i = 0; i < n; i++) {
        const cln_stats s = cln_group_epoch(g, i + 1, metric);
        column[0][i] = i + 1;
        column[1][i] = s.mean;
        column[2][i] = s.mean - s.sd;
        column[3][i] = s.mean + s.sd;
    }
    return (cln_series){.label = g->label,
                        .x = column[0],
                        .y = column[1],
                        .low = column[2],
                        .high = column[3],
                        .count = n,
                        .colour = colour_of(g->norm, place),
                        .width = 2,
                        .marker = n > 30 ? CLN_MARKER_NONE : marker_of(place)};
}

static void extend(double range[2], const cln_series *s)
{
    for (int i = 0; i < s->count; i++)
        if (isfinite(s->y[i])) {
            range[0] = range[0] == range[1] ? s->y[i] - 0.5 : fmin(range[0], s->y[i]);
            range[1] = fmax(range[1], s->y[i]);
        }
}

int cln_report_curves(const char *path, const cln_group *const *groups, int n, bool loss, cln_error *err)
{
    const size_t metrics[2] = {loss ? offsetof(cln_metrics, train_loss) : offsetof(cln_metrics, train_acc),
                               loss ? offsetof(cln_metrics, test_loss) : offsetof(cln_metrics, test_acc)};
    const double top = loss ? INFINITY : 100;
    cln_series series[2 * CLN_REPORT_MAX_CURVES] = {{0}};
    size_t total = 1;
    n = n < CLN_REPORT_MAX_CURVES ? n : CLN_REPORT_MAX_CURVES;
    for (int i = 0; i < n; i++)
        total += (size_t)cln_group_epochs(groups[i]) * COLUMNS * 2;
    double *block = malloc(total * sizeof *block), *at = block;
    if (!block)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to draw %s", path);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < n; i++) {
            series[k * n + i] = curve(groups[i], i, metrics[k], at);
            at += (size_t)cln_group_epochs(groups[i]) * COLUMNS;
        }
    const cln_axis epochs = {.label = "epoch", .whole = true, .tight = true};
    cln_axis y = {.label = loss ? "loss" : "accuracy (%)", .at_most = {0, top}};
    for (int i = 0; i < 2 * n && !loss; i++) /* one scale for both; the losses are not of one kind */
        extend(y.at_least, &series[i]);
    const cln_panel panels[2] = {
        {.title = "training (running, augmented)", .x = epochs, .y = y, .series = series, .n_series = n},
        {.title = "test", .x = epochs, .y = y, .series = series + n, .n_series = n}};
    const cln_chart chart = {.title = "", .panels = panels, .n_panels = 2, .legend_above = true, .width = CLN_REPORT_WIDTH,
                             .height = CURVES_HEIGHT, .scale = SCALE};
    int rc = cln_chart_write(path, &chart, err);
    free(block);
    return rc;
}

/* ---- sweeps -------------------------------------------------------------------------------------- */

int cln_report_sweep(const char *path, const char *x_label, const double *x, int n_x, const char *const *labels,
                     const char *const *norms, const cln_stats *y, int n_lines, cln_error *err)
{
    const size_t n = (size_t)n_x, lines = (size_t)n_lines;
    double *block = malloc((3 * n * lines + 1) * sizeof *block);
    cln_series *series = calloc(lines + 1, sizeof *series);
    int rc = block && series ? CLN_OK : CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to draw %s", path);
    for (int i = 0; i < n_lines && !rc; i++) {
        double *mean = block + 3 * n * (size_t)i, *low = mean + n, *high = low + n;
        for (int k = 0; k < n_x; k++) {
            const cln_stats *s = &y[i * n_x + k];
            mean[k] = s->n ? s->mean : NAN;
            low[k] = s->n ? s->low : NAN;
            high[k] = s->n ? s->high : NAN;
        }
        series[i] = (cln_series){.label = n_lines > 1 ? labels[i] : NULL, .x = x, .y = mean, .low = low, .high = high, .count = n_x,
                                 .colour = colour_of(norms[i], i), .width = 2, .marker = marker_of(i), .size = 4};
    }
    if (!rc) {
        const cln_panel panel = {.x = {.label = x_label, .log = true, .ticks = x, .n_ticks = n_x},
                                 .y = {.label = "test accuracy, last epoch (%)", .at_most = {0, 100}},
                                 .series = series, .n_series = n_lines};
        const cln_chart chart = {.title = "", .panels = &panel, .n_panels = 1, .legend_above = n_lines > 1,
                                 .width = CLN_REPORT_WIDTH * 7 / 10, .height = CURVES_HEIGHT, .scale = SCALE};
        rc = cln_chart_write(path, &chart, err);
    }
    free(series);
    free(block);
    return rc;
}

/* ---- confusion ----------------------------------------------------------------------------------- */

enum { ACROSS = 3, PANEL = 320, NAMES = 64, HEAD = 34, FOOT = 64, GAP = 8 };

/* Percent of the true class, over all runs that have outcomes of these classes; false: none has. */
static bool sum_confusion(const cln_group *g, const cln_outcome **first, double *percent)
{
    int k = 0;
    *first = NULL;
    for (int i = 0; i < g->n; i++) {
        const cln_outcome *o = &g->runs[i]->outcome;
        if (!g->runs[i]->has_outcome || (*first && o->classes != (*first)->classes))
            continue;
        if (!*first) {
            *first = o;
            k = o->classes;
            memset(percent, 0, (size_t)k * (size_t)k * sizeof *percent);
        }
        for (int j = 0; j < k * k; j++)
            percent[j] += o->confusion[j];
    }
    for (int row = 0; row < k; row++) {
        double all = 0;
        for (int j = 0; j < k; j++)
            all += percent[row * k + j];
        for (int j = 0; j < k; j++)
            percent[row * k + j] = all > 0 ? 100 * percent[row * k + j] / all : 0;
    }
    return *first != NULL;
}

/* White to blue by the root of the share, so that a few percent show. */
static cln_colour heat(double percent) { return cln_colour_tint(CLN_BLUE, 1 - sqrt(percent / 100)); }

static void draw_cell(cairo_t *cr, cln_rect r, double percent)
{
    char text[16];
    cln_canvas_ink(cr, heat(percent));
    cairo_rectangle(cr, r.x, r.y, r.w, r.h);
    cairo_fill(cr);
    if (percent <= 0.5 || r.w < 16) /* which would be printed as 0 */
        return;
    snprintf(text, sizeof text, "%.0f", percent);
    cln_canvas_ink(cr, percent > 45 ? (cln_colour){1, 1, 1} : CLN_INK);
    cln_canvas_text(cr, r.x + r.w / 2, r.y + r.h / 2 + 4, 0.5, 10.5, r.w, text);
}

static void draw_matrix(cairo_t *cr, const char *title, const cln_outcome *o, const double *percent, double x, double y)
{
    const int k = o->classes;
    const double left = x + NAMES + GAP, top = y + HEAD, side = (double)(PANEL - NAMES - 2 * GAP) / k;
    cln_canvas_ink(cr, CLN_INK);
    cln_canvas_bold(cr, true);
    cln_canvas_text(cr, left + side * k / 2, y + 22, 0.5, 14, PANEL - NAMES, title);
    cln_canvas_bold(cr, false);
    for (int i = 0; i < k; i++) {
        for (int j = 0; j < k; j++)
            draw_cell(cr, (cln_rect){left + j * side, top + i * side, side, side}, percent[i * k + j]);
        if (side < 10)
            continue;
        cln_canvas_ink(cr, CLN_INK);
        cln_canvas_text(cr, left - 5, top + (i + 0.5) * side + 4, 1, 10.5, NAMES, o->class_names[i]);
        cln_canvas_turned(cr, left + (i + 0.5) * side + 3, top + k * side + 8, -0.9, 1, 10.5, NAMES, o->class_names[i]);
    }
    cln_canvas_ink(cr, CLN_GREY);
    cairo_set_line_width(cr, 0.75);
    cairo_rectangle(cr, left, top, side * k, side * k);
    cairo_stroke(cr);
}

int cln_report_confusion(const char *path, const cln_group *const *groups, int n, int *drawn, cln_error *err)
{
    double *percent = malloc((size_t)CLN_DATA_MAX_CLASSES * CLN_DATA_MAX_CLASSES * sizeof *percent);
    const cln_outcome *first;
    cln_canvas canvas;
    int panels = 0, at = 0;
    if (!percent)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to draw %s", path);
    for (int i = 0; i < n; i++)
        panels += sum_confusion(groups[i], &first, percent);
    if (drawn)
        *drawn = panels;
    const int across = panels < ACROSS ? panels : ACROSS, rows = (panels + ACROSS - 1) / ACROSS;
    int rc = panels == 0 ? CLN_OK
                         : cln_canvas_open(&canvas, path, across * PANEL + GAP, rows * (PANEL - NAMES + HEAD + FOOT), SCALE, err);
    for (int i = 0; i < n && panels > 0 && !rc; i++)
        if (sum_confusion(groups[i], &first, percent)) {
            const int row = at / ACROSS, column = at % ACROSS;
            draw_matrix(canvas.cr, groups[i]->label, first, percent, column * PANEL, row * (PANEL - NAMES + HEAD + FOOT));
            at++;
        }
    free(percent);
    return panels > 0 && !rc ? cln_canvas_close(&canvas, rc, err) : rc;
}
