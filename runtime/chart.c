#include "chart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chart_marks.h"

enum { MAX_PANELS = 8, MAX_ENTRIES = 64 };

/* ---- the legend -------------------------------------------------------------------------------- */

typedef struct entry { /* a series, a bar, or a part of all bars */
    const char *label;
    const cln_series *series;
    const cln_bars *bars;
    int bar, part;
} entry;

static const double SWATCH = 26, SMALL_SWATCH = 14, LEGEND_SIZE = 13.5, LEGEND_LINE = 21;
static const cln_colour FAINT = {0.90, 0.90, 0.92};

static double swatch_of(const entry *e)
{
    return e->series != NULL && e->series->width > 0 ? SWATCH : SMALL_SWATCH;
}

static void add_entry(entry *list, int *n, entry e)
{
    for (int i = 0; i < *n; i++)
        if (e.label == NULL || strcmp(list[i].label, e.label) == 0)
            return;
    if (e.label != NULL && *n < MAX_ENTRIES)
        list[(*n)++] = e;
}

/* Labels of a panel, each once. */
static void collect(entry *list, int *n, const cln_panel *p)
{
    const cln_bars *b = p->bars;

    for (int i = 0; i < p->n_series; i++)
        add_entry(list, n, (entry){p->series[i].label, &p->series[i], NULL, 0, 0});
    for (int i = 0; b != NULL && b->bars != NULL && i < b->n_bars; i++)
        add_entry(list, n, (entry){b->bars[i], NULL, b, i, -1});
    for (int i = 0; b != NULL && b->parts != NULL && i < b->n_parts; i++)
        add_entry(list, n, (entry){b->parts[i], NULL, b, -1, i});
}

/* A bar's entry is a small stack in its colours; a part's is one in grey with that part alone filled dark. */
static void draw_stack(cairo_t *cr, const entry *e, double x, double y)
{
    const double height = 14, part = height / e->bars->n_parts;

    for (int p = 0; p < e->bars->n_parts; p++) {
        if (e->bar >= 0)
            cln_canvas_ink(cr, e->bars->colours[e->bar * e->bars->n_parts + p]);
        else
            cln_canvas_ink(cr, p == e->part ? CLN_GREY : FAINT);
        cairo_rectangle(cr, x, y + height / 2 - (p + 1) * part, SMALL_SWATCH, part);
        cairo_fill(cr);
    }
}

static void draw_entry(cairo_t *cr, const entry *e, double x, double y, double max_width)
{
    const cln_series *s = e->series;

    if (s == NULL) {
        draw_stack(cr, e, x, y);
    } else {
        cln_canvas_ink(cr, s->colour);
        cairo_set_line_width(cr, s->width);
        cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
        if (s->width > 0)
            cln_canvas_line(cr, x, y, x + SWATCH, y);
        if (s->marker != CLN_MARKER_NONE)
            cln_marks_marker(cr, s, x + swatch_of(e) / 2, y);
    }
    cln_canvas_ink(cr, CLN_INK);
    cln_canvas_text(cr, x + swatch_of(e) + 8, y + 4.5, 0, LEGEND_SIZE, max_width, e->label);
}

/* A legend in the corner where it hides least; the right ones win where several are free. */
static void draw_corner_legend(const cln_frame *f)
{
    const double margin = 10;
    const cln_rect r = f->at;
    entry list[MAX_ENTRIES];
    int n = 0, least = -1;
    cln_rect box = {0};

    collect(list, &n, f->panel);
    if (n == 0)
        return;
    for (int i = 0; i < n; i++)
        box.w = fmax(box.w, fmin(cln_canvas_width(f->cr, LEGEND_SIZE, list[i].label), r.w / 2));
    box.w += SWATCH + 8 + 2 * margin;
    box.h = LEGEND_LINE * n + 9;
    for (int corner = 0; corner < 4; corner++) {
        cln_rect at = box;
        at.x = corner < 2 ? r.x + r.w - box.w - 6 : r.x + 12;
        at.y = corner % 2 == 0 ? r.y + 6 : r.y + r.h - box.h - 12;
        int hidden = cln_marks_inside(f, at);
        if (least < 0 || hidden < least) {
            least = hidden;
            box.x = at.x;
            box.y = at.y;
        }
    }
    cairo_rectangle(f->cr, floor(box.x) + 0.5, floor(box.y) + 0.5, floor(box.w), box.h);
    cairo_set_source_rgba(f->cr, 1, 1, 1, 0.85);
    cairo_fill_preserve(f->cr);
    cln_canvas_ink(f->cr, FAINT);
    cairo_set_line_width(f->cr, 1);
    cairo_stroke(f->cr);
    for (int i = 0; i < n; i++)
        draw_entry(f->cr, &list[i], box.x + margin, box.y + 15 + i * LEGEND_LINE, r.w / 2);
}

/* One for all panels in rows from y down, each row in the middle. Returns the y below it. */
static double draw_legend_above(cairo_t *cr, const cln_chart *c, double y)
{
    const double gap = 18, room = c->width - 60.0;
    entry list[MAX_ENTRIES];
    double width[MAX_ENTRIES];
    int n = 0;

    for (int i = 0; i < c->n_panels; i++)
        collect(list, &n, &c->panels[i]);
    for (int i = 0; i < n; i++)
        width[i] =
            fmin(swatch_of(&list[i]) + 8 + cln_canvas_width(cr, LEGEND_SIZE, list[i].label), room);
    for (int first = 0, last; first < n; first = last) {
        double row = width[first];
        for (last = first + 1; last < n && row + gap + width[last] <= room; last++)
            row += gap + width[last];
        double x = (c->width - row) / 2;
        for (int i = first; i < last; i++) {
            draw_entry(cr, &list[i], x, y, width[i] - swatch_of(&list[i]) - 8 + 1);
            x += width[i] + gap;
        }
        y += LEGEND_LINE;
    }
    return y;
}

/* ---- layout ------------------------------------------------------------------------------------ */

/* Title, subtitle and a legend for all; returns the y below them. */
static double draw_head(cairo_t *cr, const cln_chart *c)
{
    double y = c->title[0] != '\0' ? 36 : 4;

    cln_canvas_ink(cr, CLN_INK);
    cln_canvas_bold(cr, true);
    cln_canvas_text(cr, c->width / 2.0, y, 0.5, 17, c->width - 40, c->title);
    cln_canvas_bold(cr, false);
    if (c->subtitle != NULL) {
        y += 23;
        cln_canvas_ink(cr, CLN_GREY);
        cln_canvas_text(cr, c->width / 2.0, y, 0.5, 13.5, c->width - 40, c->subtitle);
    }
    if (c->legend_above)
        y = draw_legend_above(cr, c, y + 26) - 14;
    return y;
}

static void draw_foot(cairo_t *cr, const cln_chart *c)
{
    if (c->footnote == NULL)
        return;
    cln_canvas_ink(cr, CLN_GREY);
    cln_canvas_text(cr, 24, c->height - 14, 0, 11.5, c->width - 48, c->footnote);
}

/* Puts the frames side by side, with tops and bottoms in line. */
static void place(cln_frame *frames, cairo_t *cr, const cln_chart *c, double top)
{
    const double right = 26, share = (double)c->width / fmax(1, c->n_panels);
    double below = 0, bottom = c->height - (c->footnote == NULL ? 12 : 36);

    for (int i = 0; i < c->n_panels; i++) {
        cln_frame *f = &frames[i];
        *f = (cln_frame){.cr = cr, .panel = &c->panels[i]};
        cln_scale_x(&f->x, f->panel);
        cln_scale_y(&f->y, f->panel);
        double left = cln_axis_left(cr, f->panel, &f->y) + 12;
        f->at = (cln_rect){floor(i * share + left), 0, fmax(1, floor(share - left - right)), 0};
        below = fmax(below, cln_axis_below(cr, f->panel, &f->y, f->at.w));
    }
    for (int i = 0; i < c->n_panels; i++) {
        cln_frame *f = &frames[i];
        f->at.y = floor(top);
        f->at.h = fmax(1, floor(bottom - below - top));
        f->x.from = f->at.x;
        f->x.to = f->at.x + f->at.w;
        f->y.from = f->at.y + f->at.h;
        f->y.to = f->at.y;
    }
}

static bool has_panel_titles(const cln_chart *c)
{
    for (int i = 0; i < c->n_panels; i++)
        if (c->panels[i].title != NULL)
            return true;
    return false;
}

static int draw(cln_frame *frames, cairo_t *cr, const cln_chart *c, cln_error *err)
{
    double top = draw_head(cr, c) + (has_panel_titles(c) ? 46 : 26);
    int rc = 0;

    place(frames, cr, c, top);
    for (int i = 0; i < c->n_panels && rc == 0; i++) {
        cln_axis_draw(&frames[i]);
        rc = cln_marks_draw(&frames[i], err);
        if (rc == 0 && !c->legend_above)
            draw_corner_legend(&frames[i]);
    }
    draw_foot(cr, c);
    return rc;
}

int cln_chart_write(const char *path, const cln_chart *c, cln_error *err)
{
    cln_canvas canvas;

    if (c->n_panels < 0 || c->n_panels > MAX_PANELS)
        return CLN_FAIL(err, CLN_ERR_ARGUMENT, "a chart of %d panels: 0 to %d are possible",
                        c->n_panels, MAX_PANELS);
    for (int i = 0; i < c->n_panels; i++)
        if (c->panels[i].bars != NULL && c->panels[i].y.log)
            return CLN_FAIL(err, CLN_ERR_ARGUMENT, "bars need a linear axis: they start from 0");
    int rc = cln_canvas_open(&canvas, path, c->width, c->height, c->scale ? c->scale : 1, err);
    if (rc != 0)
        return rc;
    cln_frame *frames = calloc((size_t)c->n_panels + 1, sizeof *frames);
    rc = frames == NULL ? CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to draw %s", path)
                        : draw(frames, canvas.cr, c, err);
    free(frames);
    return cln_canvas_close(&canvas, rc, err);
}
