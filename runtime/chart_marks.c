#include "chart_marks.h"

#include <math.h>
#include <stdlib.h>

enum { TEXT_SIZE = 12 };

/* Takes the grid away behind a text. */
static void clear(cairo_t *cr, cln_rect box)
{
    cairo_set_source_rgba(cr, 1, 1, 1, 0.8);
    cairo_rectangle(cr, box.x, box.y, box.w, box.h);
    cairo_fill(cr);
}

/* A colour that a text may have. */
static cln_colour dark(cln_colour c)
{
    const double part = 0.62;

    return (cln_colour){c.r * part, c.g * part, c.b * part};
}

/* ---- bars -------------------------------------------------------------------------------------- */

void cln_marks_bar(const cln_frame *f, int g, int b, double *x, double *width)
{
    const double widest = 96;
    const int n = f->panel->bars->n_bars;
    const double slot = cln_scale_place(&f->x, 1) - cln_scale_place(&f->x, 0);
    double each = fmin(0.84 * slot / n, widest);

    if (each >= 3) /* edges on whole pixels */
        each = floor(each);
    *x = cln_scale_place(&f->x, g) + each * (b - 0.5 * n);
    if (each >= 3)
        *x = floor(*x + 0.5);
    *width = each > 6 ? each - 1 : each;
}

static void draw_error_bar(cairo_t *cr, double x, double low, double high, double cap)
{
    x = floor(x) + 0.5;
    cairo_set_line_width(cr, 1.4);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_BUTT);
    cln_canvas_line(cr, x, low, x, high);
    cln_canvas_line(cr, x - cap, low, x + cap, low);
    cln_canvas_line(cr, x - cap, high, x + cap, high);
}

/* Above (or below) the bar and its error bar; not at all where its neighbours' texts would not leave room. */
static void draw_bar_text(const cln_frame *f, int g, int b, double top, double bottom)
{
    const cln_bars *bars = f->panel->bars;
    const char *text = bars->texts == NULL ? NULL : bars->texts[g * bars->n_bars + b];
    const double slot = cln_scale_place(&f->x, 1) - cln_scale_place(&f->x, 0);
    const bool down = cln_bar_sum(bars, g, b, 0) < 0;
    double x, width;

    if (text == NULL)
        return;
    cln_marks_bar(f, g, b, &x, &width);
    if (cln_canvas_width(f->cr, TEXT_SIZE, text) > (bars->n_bars == 1 ? slot : width) - 2)
        return;
    const double y = down ? bottom + TEXT_SIZE + 4 : top - 6,
                 half = cln_canvas_width(f->cr, TEXT_SIZE, text) / 2;
    clear(f->cr, (cln_rect){x + width / 2 - half, y - TEXT_SIZE + 1, 2 * half, TEXT_SIZE});
    cln_canvas_ink(f->cr, CLN_INK);
    cln_canvas_text(f->cr, x + width / 2, y, 0.5, TEXT_SIZE, slot, text);
}

static void draw_bar(const cln_frame *f, int g, int b)
{
    const cln_bars *bars = f->panel->bars;
    const int at = g * bars->n_bars + b;
    double x, width, up = 0, down = 0;

    cln_marks_bar(f, g, b, &x, &width);
    for (int p = 0; p < bars->n_parts; p++) {
        double v = bars->values[at * bars->n_parts + p];
        if (!cln_scale_takes(false, v) || v == 0)
            continue;
        double *end = v > 0 ? &up : &down;
        double y0 = cln_scale_place(&f->y, *end), y1 = cln_scale_place(&f->y, *end + v);
        *end += v;
        cln_canvas_ink(f->cr, bars->colours[(bars->by_group ? g : b) * bars->n_parts + p]);
        cairo_rectangle(f->cr, x, fmin(y0, y1), width, fabs(y0 - y1));
        cairo_fill(f->cr);
    }
    double top = cln_scale_place(&f->y, up), bottom = cln_scale_place(&f->y, down);
    if (bars->low != NULL && bars->high != NULL && cln_scale_takes(false, bars->low[at]) &&
        cln_scale_takes(false, bars->high[at])) {
        double low = cln_scale_place(&f->y, bars->low[at]),
               high = cln_scale_place(&f->y, bars->high[at]);
        cln_canvas_ink(f->cr, CLN_INK);
        draw_error_bar(f->cr, x + width / 2, low, high, fmin(6, width / 3));
        top = fmin(top, high);
        bottom = fmax(bottom, low);
    }
    draw_bar_text(f, g, b, top, bottom);
}

static void draw_bars(const cln_frame *f)
{
    const cln_bars *bars = f->panel->bars;
    const double zero = floor(cln_scale_place(&f->y, 0)) + 0.5;

    for (int i = 0; i < bars->n_groups * bars->n_bars; i++)
        draw_bar(f, i / bars->n_bars, i % bars->n_bars);
    cairo_set_line_width(f->cr, 1);
    cln_canvas_ink(f->cr, CLN_GREY);
    cln_canvas_line(f->cr, f->at.x, zero, f->at.x + f->at.w, zero);
}

/* ---- series ------------------------------------------------------------------------------------ */

static bool shown(const cln_frame *f, const cln_series *s, int i)
{
    return cln_scale_takes(f->x.log, s->x[i]) && cln_scale_takes(f->y.log, s->y[i]);
}

static double x_of(const cln_frame *f, const cln_series *s, int i)
{
    return cln_scale_place(&f->x, s->x[i]);
}
static double y_of(const cln_frame *f, const cln_series *s, int i)
{
    return cln_scale_place(&f->y, s->y[i]);
}

double cln_marks_radius(const cln_series *s)
{
    return s->size > 0 ? s->size : s->width + 1;
}

void cln_marks_marker(cairo_t *cr, const cln_series *s, double x, double y)
{
    const double r = cln_marks_radius(s);

    cairo_new_path(cr);
    if (s->marker == CLN_MARKER_SQUARE) {
        cairo_rectangle(cr, x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
    } else if (s->marker == CLN_MARKER_DIAMOND) {
        cairo_move_to(cr, x, y - 1.25 * r);
        cairo_line_to(cr, x + 1.25 * r, y);
        cairo_line_to(cr, x, y + 1.25 * r);
        cairo_line_to(cr, x - 1.25 * r, y);
        cairo_close_path(cr);
    } else {
        cairo_arc(cr, x, y, r, 0, 2 * acos(-1));
    }
    if (s->hollow &&
        s->width > 0) { /* the line ends at it; points without one show what is below */
        cln_canvas_ink(cr, (cln_colour){1, 1, 1});
        cairo_fill_preserve(cr);
    }
    cln_canvas_ink(cr, s->colour);
    cairo_set_line_width(cr, 1.6);
    if (s->hollow) {
        cairo_stroke(cr);
        return;
    }
    cairo_fill_preserve(cr);
    if (s->width == 0) { /* tells points apart that lie on each other */
        cln_canvas_ink(cr, (cln_colour){1, 1, 1});
        cairo_set_line_width(cr, 0.8);
        cairo_stroke(cr);
    }
    cairo_new_path(cr);
}

/* Whether point i has a band, or i and i + 1 have. */
static bool banded(const cln_frame *f, const cln_series *s, int i)
{
    return s->low != NULL && s->high != NULL && shown(f, s, i) &&
           cln_scale_takes(f->y.log, s->low[i]) && cln_scale_takes(f->y.log, s->high[i]);
}

static void draw_band(const cln_frame *f, const cln_series *s)
{
    for (int from = 0; from < s->count; from++) {
        int to = from; /* one behind the run's last */
        while (to < s->count && banded(f, s, to))
            to++;
        if (to == from)
            continue;
        if (to == from + 1) { /* a band of one point is an error bar */
            cln_canvas_ink(f->cr, s->colour);
            draw_error_bar(f->cr, x_of(f, s, from), cln_scale_place(&f->y, s->low[from]),
                           cln_scale_place(&f->y, s->high[from]), 5);
        } else {
            cairo_new_path(f->cr); /* a text may have left a point behind */
            for (int i = from; i < to; i++)
                cairo_line_to(f->cr, x_of(f, s, i), cln_scale_place(&f->y, s->high[i]));
            for (int i = to - 1; i >= from; i--)
                cairo_line_to(f->cr, x_of(f, s, i), cln_scale_place(&f->y, s->low[i]));
            cairo_close_path(f->cr);
            cairo_set_source_rgba(f->cr, s->colour.r, s->colour.g, s->colour.b, 0.18);
            cairo_fill(f->cr);
        }
        from = to;
    }
}

static void draw_series(const cln_frame *f, const cln_series *s)
{
    cairo_t *cr = f->cr;
    bool drawing = false;

    cln_canvas_ink(cr, s->colour);
    cairo_set_line_width(cr, s->width);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    for (int i = 0; i < s->count && s->width > 0; i++) {
        bool good = shown(f, s, i);
        if (good && drawing)
            cairo_line_to(cr, x_of(f, s, i), y_of(f, s, i));
        else if (good)
            cairo_move_to(cr, x_of(f, s, i), y_of(f, s, i));
        drawing = good;
    }
    cairo_stroke(cr);
    for (int i = 0; i < s->count; i++) { /* a value between gaps would not show otherwise */
        bool alone = (i == 0 || !shown(f, s, i - 1)) && (i + 1 == s->count || !shown(f, s, i + 1));
        if (shown(f, s, i) && (s->marker != CLN_MARKER_NONE || alone))
            cln_marks_marker(cr, s, x_of(f, s, i), y_of(f, s, i));
    }
}

/* How many points, and of the lines between them, lie in box or near it. */
static int series_inside(const cln_frame *f, const cln_series *s, cln_rect box, double near)
{
    enum { PARTS = 8 };
    int inside = 0;

    for (int k = 0; k < s->count * PARTS; k++) {
        int a = k / PARTS, b = a + 1 < s->count && s->width > 0 && shown(f, s, a + 1) ? a + 1 : a;
        if (!shown(f, s, a))
            continue;
        double t = (double)(k % PARTS) / PARTS;
        double x = x_of(f, s, a) + t * (x_of(f, s, b) - x_of(f, s, a));
        double y = y_of(f, s, a) + t * (y_of(f, s, b) - y_of(f, s, a));
        inside += x >= box.x - near && x <= box.x + box.w + near && y >= box.y - near &&
                  y <= box.y + box.h + near;
    }
    return inside;
}

static bool apart(cln_rect a, cln_rect b)
{
    return a.x + a.w < b.x || b.x + b.w < a.x || a.y + a.h < b.y || b.y + b.h < a.y;
}

int cln_marks_inside(const cln_frame *f, cln_rect box)
{
    const double near = 20;
    const cln_rect wide = {box.x - near, box.y - near, box.w + 2 * near, box.h + 2 * near};
    const cln_panel *p = f->panel;
    int inside = 0;

    for (int i = 0; i < p->n_series; i++)
        inside += series_inside(f, &p->series[i], box, near);
    for (int i = 0; p->bars != NULL && i < p->bars->n_groups * p->bars->n_bars; i++) {
        int g = i / p->bars->n_bars, b = i % p->bars->n_bars;
        cln_rect bar = {0};
        cln_marks_bar(f, g, b, &bar.x, &bar.w);
        bar.y = cln_scale_place(&f->y, cln_bar_sum(p->bars, g, b, 1));
        bar.h = cln_scale_place(&f->y, cln_bar_sum(p->bars, g, b, -1)) - bar.y;
        inside += apart(bar, wide) ? 0 : 10;
    }
    return inside;
}

/* ---- texts that keep out of each other's way --------------------------------------------------- */

typedef struct taken { /* places that are not free */
    cln_rect *boxes;
    int n, capacity;
    cln_rect frame;
} taken;

enum { RULE_BOXES = 40 };

static void take(taken *t, cln_rect box)
{
    if (t->n < t->capacity)
        t->boxes[t->n++] = box;
}

static bool is_free(const taken *t, cln_rect box)
{
    if (box.x < t->frame.x || box.y < t->frame.y || box.x + box.w > t->frame.x + t->frame.w ||
        box.y + box.h > t->frame.y + t->frame.h)
        return false;
    for (int i = 0; i < t->n; i++)
        if (!apart(t->boxes[i], box))
            return false;
    return true;
}

static void take_points(taken *t, const cln_frame *f)
{
    for (int k = 0; k < f->panel->n_series; k++) {
        const cln_series *s = &f->panel->series[k];
        const double r = cln_marks_radius(s) + 1;
        for (int i = 0; i < s->count; i++)
            if (shown(f, s, i))
                take(t, (cln_rect){x_of(f, s, i) - r, y_of(f, s, i) - r, 2 * r, 2 * r});
    }
}

static void write_point_texts(taken *t, const cln_frame *f, const cln_series *s)
{
    static const struct {
        double dx, dy, align; /* in radii and heights from the point */
    } places[] = {{1, 0, 0},  {-1, 0, 1}, {0, -1, 0.5}, {0, 1, 0.5},
                  {1, -1, 0}, {1, 1, 0},  {-1, -1, 1},  {-1, 1, 1}};
    const double r = cln_marks_radius(s) + 4, height = TEXT_SIZE + 2;

    for (int i = 0; s->texts != NULL && i < s->count; i++) {
        if (s->texts[i] == NULL || !shown(f, s, i))
            continue;
        const double width = cln_canvas_width(f->cr, TEXT_SIZE, s->texts[i]);
        for (size_t k = 0; k < sizeof places / sizeof places[0]; k++) {
            double x = x_of(f, s, i) + places[k].dx * r;
            double y = y_of(f, s, i) + places[k].dy * (r + height / 2); /* the text's middle */
            cln_rect box = {x - places[k].align * width, y - height / 2, width, height};
            if (!is_free(t, box))
                continue;
            take(t, box);
            clear(f->cr, box);
            cln_canvas_ink(f->cr, dark(s->colour));
            cln_canvas_text(f->cr, box.x, y + 0.36 * TEXT_SIZE, 0, TEXT_SIZE, width + 1,
                            s->texts[i]);
            break;
        }
    }
}

/* ---- rules ------------------------------------------------------------------------------------- */

typedef struct segment {
    double x0, y0, x1, y1; /* from left to right */
} segment;

/* Takes off what lies beyond one edge: keeps where d0 + t (d1 - d0) >= 0. (Liang and Barsky 1984.) */
static void clip_edge(double d0, double d1, double *from, double *to)
{
    if (d0 < 0 && d1 < 0)
        *to = -1;
    else if (d0 < 0)
        *from = fmax(*from, d0 / (d0 - d1));
    else if (d1 < 0)
        *to = fmin(*to, d0 / (d0 - d1));
}

static bool clip_rule(const cln_frame *f, const cln_rule *rule, segment *out)
{
    const cln_rect r = f->at;
    double from = 0, to = 1;

    for (int i = 0; i < 2; i++)
        if (!cln_scale_takes(f->x.log, rule->x[i]) || !cln_scale_takes(f->y.log, rule->y[i]))
            return false;
    const int a = rule->x[0] <= rule->x[1] ? 0 : 1, b = 1 - a;
    double x0 = cln_scale_place(&f->x, rule->x[a]), x1 = cln_scale_place(&f->x, rule->x[b]);
    double y0 = cln_scale_place(&f->y, rule->y[a]), y1 = cln_scale_place(&f->y, rule->y[b]);
    clip_edge(x0 - r.x, x1 - r.x, &from, &to);
    clip_edge(r.x + r.w - x0, r.x + r.w - x1, &from, &to);
    clip_edge(y0 - r.y, y1 - r.y, &from, &to);
    clip_edge(r.y + r.h - y0, r.y + r.h - y1, &from, &to);
    *out = (segment){x0 + from * (x1 - x0), y0 + from * (y1 - y0), x0 + to * (x1 - x0),
                     y0 + to * (y1 - y0)};
    return from < to;
}

static void draw_rule(const cln_frame *f, const cln_rule *rule)
{
    const double dash[] = {7, 5};
    segment s;

    if (!clip_rule(f, rule, &s))
        return;
    cln_canvas_ink(f->cr, rule->colour);
    cairo_set_line_width(f->cr, rule->width);
    cairo_set_line_cap(f->cr, CAIRO_LINE_CAP_BUTT);
    if (rule->dashed)
        cairo_set_dash(f->cr, dash, 2, 0);
    cln_canvas_line(f->cr, s.x0, s.y0, s.x1, s.y1);
    cairo_set_dash(f->cr, NULL, 0, 0);
}

/* Boxes along a line from (x, y), `length` long: small ones, as the line may slope. */
static int boxes_along(double x, double y, double angle, double length, double half,
                       cln_rect out[RULE_BOXES])
{
    int n = (int)fmin(RULE_BOXES, 1 + length / (2 * half));

    for (int i = 0; i < n; i++) {
        double t = length * (i + 0.5) / n;
        out[i] =
            (cln_rect){x + t * cos(angle) - half, y + t * sin(angle) - half, 2 * half, 2 * half};
    }
    return n;
}

static void take_rule(taken *t, const cln_frame *f, const cln_rule *rule)
{
    cln_rect boxes[RULE_BOXES];
    segment s;

    if (!clip_rule(f, rule, &s))
        return;
    double length = hypot(s.x1 - s.x0, s.y1 - s.y0), half = fmax(2, length / (2 * RULE_BOXES));
    int n = boxes_along(s.x0, s.y0, atan2(s.y1 - s.y0, s.x1 - s.x0), length, half, boxes);
    for (int i = 0; i < n; i++)
        take(t, boxes[i]);
}

/* Slides the text along its line, from the end that is wanted, to the first place that is free; where there is
 * none it stands at that end. */
static void write_rule_text(taken *t, const cln_frame *f, const cln_rule *rule)
{
    enum { PLACES = 25 };
    const double half = 0.5 * TEXT_SIZE, off = rule->below ? half + 6 : -half - 4, margin = 12;
    cln_rect boxes[RULE_BOXES];
    segment s;
    int n = 0;

    if (rule->text == NULL || !clip_rule(f, rule, &s))
        return;
    const double angle = atan2(s.y1 - s.y0, s.x1 - s.x0), length = hypot(s.x1 - s.x0, s.y1 - s.y0);
    const double width = fmin(cln_canvas_width(f->cr, TEXT_SIZE + 1, rule->text), length);
    const double free = length - width - 2 * margin;
    double start = 0;
    for (int k = 0; k <= PLACES; k++) {
        double share = (double)(k % PLACES) / PLACES; /* the last try is the first place again */
        start = free <= 0 ? 0 : margin + free * (rule->at_end ? 1 - share : share);
        n = boxes_along(s.x0 + start * cos(angle) - off * sin(angle),
                        s.y0 + start * sin(angle) + off * cos(angle), angle, width, half, boxes);
        bool good = true;
        for (int i = 0; i < n && good; i++)
            good = is_free(t, boxes[i]);
        if (good)
            break;
    }
    for (int i = 0; i < n; i++)
        take(t, boxes[i]);
    cln_canvas_ink(f->cr, rule->colour);
    const double base = off + 0.36 * TEXT_SIZE;
    cln_canvas_turned(f->cr, s.x0 + start * cos(angle) - base * sin(angle),
                      s.y0 + start * sin(angle) + base * cos(angle), angle, 0, TEXT_SIZE + 1,
                      1.1 * width, rule->text);
}

/* ---- all of it --------------------------------------------------------------------------------- */

static bool has_texts(const cln_panel *p)
{
    for (int i = 0; i < p->n_rules; i++)
        if (p->rules[i].text != NULL)
            return true;
    for (int i = 0; i < p->n_series; i++)
        if (p->series[i].texts != NULL)
            return true;
    return false;
}

static int write_texts(const cln_frame *f, cln_error *err)
{
    const cln_panel *p = f->panel;
    taken t = {.capacity = 2 * RULE_BOXES * p->n_rules, .frame = f->at};

    for (int i = 0; i < p->n_series; i++)
        t.capacity += 2 * p->series[i].count;
    t.boxes = calloc((size_t)t.capacity + 1, sizeof *t.boxes);
    if (t.boxes == NULL)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "no memory to place the texts of a chart");
    take_points(&t, f);
    for (int i = 0; i < p->n_rules; i++)
        write_rule_text(&t, f, &p->rules[i]);
    for (int i = 0; i < p->n_rules; i++)
        take_rule(&t, f, &p->rules[i]);
    for (int i = 0; i < p->n_series; i++)
        write_point_texts(&t, f, &p->series[i]);
    free(t.boxes);
    return 0;
}

int cln_marks_draw(const cln_frame *f, cln_error *err)
{
    const cln_panel *p = f->panel;

    if (p->bars != NULL && p->bars->n_bars > 0)
        draw_bars(f);
    for (int i = 0; i < p->n_rules; i++)
        draw_rule(f, &p->rules[i]);
    for (int i = 0; i < p->n_series; i++)
        draw_band(f, &p->series[i]);
    for (int i = 0; i < p->n_series; i++)
        draw_series(f, &p->series[i]);
    return has_texts(p) ? write_texts(f, err) : 0;
}
