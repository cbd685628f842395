#include "chart_axis.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TICK_SIZE = 13, LABEL_SIZE = 14, NAME_LINES = 3 };
static const cln_colour GRID = {0.90, 0.90, 0.92}, FINE_GRID = {0.955, 0.955, 0.965};

/* ---- the range of the values ------------------------------------------------------------------- */

typedef struct extent {
    double low, high;
    bool any;
} extent;

static void extend(extent *e, bool log, double v)
{
    if (!cln_scale_takes(log, v))
        return;
    e->low = e->any ? fmin(e->low, v) : v;
    e->high = e->any ? fmax(e->high, v) : v;
    e->any = true;
}

double cln_bar_sum(const cln_bars *b, int group, int bar, int sign)
{
    const double *v = b->values + (size_t)(group * b->n_bars + bar) * (size_t)b->n_parts;
    double sum = 0;

    for (int p = 0; p < b->n_parts; p++)
        if (cln_scale_takes(false, v[p]) && v[p] * sign >= 0)
            sum += v[p];
    return sum;
}

static void extend_by_bars(extent *e, const cln_bars *b)
{
    extend(e, false, 0);
    for (int i = 0; i < b->n_groups * b->n_bars; i++) {
        extend(e, false, cln_bar_sum(b, i / b->n_bars, i % b->n_bars, 1));
        extend(e, false, cln_bar_sum(b, i / b->n_bars, i % b->n_bars, -1));
        if (b->low != NULL && b->high != NULL) {
            extend(e, false, b->low[i]);
            extend(e, false, b->high[i]);
        }
    }
    if (b->texts != NULL) { /* room for them */
        double room = 0.07 * (e->high - e->low);
        e->high += e->high > 0 ? room : 0;
        e->low -= e->low < 0 ? room : 0;
    }
}

static extent extent_of(const cln_panel *p, bool of_y)
{
    const cln_axis *a = of_y ? &p->y : &p->x, *other = of_y ? &p->x : &p->y;
    extent e = {0};

    for (int i = 0; i < p->n_series; i++) {
        const cln_series *s = &p->series[i];
        for (int k = 0; k < s->count; k++) {
            const double *v = of_y ? s->y : s->x, *w = of_y ? s->x : s->y;
            if (!cln_scale_takes(other->log, w[k]) || !cln_scale_takes(a->log, v[k]))
                continue;
            extend(&e, a->log, v[k]);
            if (of_y && s->low != NULL && s->high != NULL) {
                extend(&e, a->log, s->low[k]);
                extend(&e, a->log, s->high[k]);
            }
        }
    }
    if (of_y && p->bars != NULL)
        extend_by_bars(&e, p->bars);
    if (a->zero)
        extend(&e, a->log, 0);
    if (a->at_least[0] < a->at_least[1]) {
        extend(&e, a->log, a->at_least[0]);
        extend(&e, a->log, a->at_least[1]);
    }
    return e;
}

/* ---- ticks ------------------------------------------------------------------------------------- */

/* The smallest (or, `down`, the largest) of 1, 2, 5 times a power of ten that is not below (above) x > 0. */
static double nice(double x, bool down)
{
    static const double steps[] = {1, 2, 5, 10};
    double power = pow(10, floor(log10(x)));

    if (down) {
        for (int i = 3; i > 0; i--)
            if (steps[i] * power <= x * (1 + 1e-9))
                return steps[i] * power;
        return power;
    }
    for (int i = 0; i < 4; i++)
        if (steps[i] * power >= x * (1 - 1e-9))
            return steps[i] * power;
    return 10 * power;
}

static void add_tick(cln_scale *s, double v, const char *label)
{
    if (s->n_ticks == CLN_CHART_TICKS)
        return;
    cln_tick *t = &s->ticks[s->n_ticks++];
    t->value = v;
    snprintf(t->label, sizeof t->label, "%s", label);
}

/* A hyphen is too short for a minus. */
static void set_minus(char label[32])
{
    static const char minus[] = "\xe2\x88\x92";
    const size_t n = strlen(label);

    if (label[0] != '-' || n + sizeof minus > 32)
        return;
    memmove(label + sizeof minus - 1, label + 1, n);
    memcpy(label, minus, sizeof minus - 1);
}

static void ticks_by_step(cln_scale *s, double step)
{
    enum { MOST = 30 };
    const int decimals = (int)fmax(0, -floor(log10(step) + 1e-9));
    const double first = ceil(s->low / step - 1e-6);

    for (int i = 0; i < MOST; i++) {
        char label[32];
        double v = (first + i) * step;
        if (v > s->high + 1e-6 * step)
            break;
        if (fabs(v) < 1e-9 * step)
            v = 0; /* not -0 */
        if (decimals > 5 || step >= 1e5)
            snprintf(label, sizeof label, "%.6g", v);
        else
            snprintf(label, sizeof label, "%.*f", decimals, v);
        set_minus(label);
        add_tick(s, v, label);
    }
}

/* A power of ten as a person writes it, 0.01, 1000, or above 10^plain with a raised exponent; also 2 and 5
 * times one. */
static void power_label(char label[32], int digit, int power, int plain)
{
    static const char *const raised[] = {
        "\xe2\x81\xb0", "\xc2\xb9",     "\xc2\xb2",     "\xc2\xb3",     "\xe2\x81\xb4",
        "\xe2\x81\xb5", "\xe2\x81\xb6", "\xe2\x81\xb7", "\xe2\x81\xb8", "\xe2\x81\xb9"};
    char digits[12];

    if (power >= -3 && power <= plain) {
        snprintf(label, 32, "%.*f", power < 0 ? -power : 0, digit * pow(10, power));
        return;
    }
    snprintf(digits, sizeof digits, "%d", abs(power));
    if (digit == 1)
        snprintf(label, 32, "10%s", power < 0 ? "\xe2\x81\xbb" : "");
    else
        snprintf(label, 32,
                 "%d\xc3\x97"
                 "10%s",
                 digit, power < 0 ? "\xe2\x81\xbb" : "");
    for (const char *d = digits; *d != '\0'; d++)
        strncat(label, raised[*d - '0'], 31 - strlen(label));
}

static void ticks_by_power(cln_scale *s)
{
    const double decades = log10(s->high / s->low);
    const int first = (int)floor(log10(s->low) + 1e-9), last = (int)floor(log10(s->high) + 1e-9);
    const int every = 1 + (int)(decades / 10), plain = last > 4 ? 3 : 4;

    for (int power = first; power <= last; power++)
        for (int digit = 1; digit < 10; digit++) {
            char label[32] = "";
            double v = digit * pow(10, power);
            if (v < s->low * (1 - 1e-9) || v > s->high * (1 + 1e-9) || (digit > 1 && every > 1))
                continue;
            if (digit == 1 ? power % every == 0 : decades <= 2.5 && (digit == 2 || digit == 5))
                power_label(label, digit, power, plain);
            add_tick(s, v, label);
        }
}

static void ticks_given(cln_scale *s, const cln_axis *a)
{
    for (int i = 0; i < a->n_ticks; i++) {
        char label[32];
        if (!(a->ticks[i] >= s->low && a->ticks[i] <= s->high))
            continue;
        snprintf(label, sizeof label, "%.6g", a->ticks[i]);
        add_tick(s, a->ticks[i], label);
    }
}

/* ---- ranges ------------------------------------------------------------------------------------ */

static void fit_linear(cln_scale *s, const cln_axis *a, extent e, int intervals)
{
    double low = e.any ? e.low : 0, high = e.any ? e.high : 1;

    s->low = low;
    s->high = high;
    if (!(high - low > 1e-9 * fmax(fabs(low), fabs(high)))) { /* one value, or none: give it room */
        double room = a->whole ? 1 : fmax(0.05 * fabs(low), 1e-6);
        s->low = low - room;
        s->high = high + room;
    }
    double step = nice((s->high - s->low) / intervals, false);
    if (a->whole)
        step = fmax(step, 1);
    if (!a->tight) {
        s->low = floor(s->low / step + 1e-9) * step;
        s->high = ceil(s->high / step - 1e-9) * step;
    }
    if (a->at_most[0] < a->at_most[1]) {
        s->low = fmax(s->low, fmin(a->at_most[0], low));
        s->high = fmin(s->high, fmax(a->at_most[1], high));
    }
    if (a->tight) { /* the first and last points stand off the frame */
        double room = 0.02 * (s->high - s->low);
        s->low -= room;
        s->high += room;
    }
    if (a->ticks == NULL)
        ticks_by_step(s, step);
}

static void fit_log(cln_scale *s, const cln_axis *a, extent e)
{
    s->low = e.any ? e.low : 1;
    s->high = e.any ? e.high : 10;
    if (s->high < 1.05 * s->low) {
        s->low /= 1.5;
        s->high *= 1.5;
    }
    if (a->tight) {
        double room = pow(s->high / s->low, 0.04);
        s->low /= room;
        s->high *= room;
    } else {
        const double room = 1.04; /* no point on the frame */
        s->low = nice(s->low / room, true);
        s->high = nice(s->high * room, false);
    }
    if (a->ticks != NULL)
        return;
    if (s->high < 6 * s->low)
        ticks_by_step(s, nice((s->high - s->low) / 6, false));
    else
        ticks_by_power(s);
}

static void fit(cln_scale *s, const cln_axis *a, extent e, int intervals)
{
    *s = (cln_scale){.log = a->log};
    if (a->log)
        fit_log(s, a, e);
    else
        fit_linear(s, a, e, intervals);
    if (a->ticks != NULL)
        ticks_given(s, a);
}

void cln_scale_x(cln_scale *s, const cln_panel *p)
{
    if (p->bars != NULL)
        *s = (cln_scale){.low = -0.5, .high = fmax(p->bars->n_groups, 1) - 0.5};
    else
        fit(s, &p->x, extent_of(p, false), 10);
}

void cln_scale_y(cln_scale *s, const cln_panel *p)
{
    fit(s, &p->y, extent_of(p, true), 8);
}

double cln_scale_place(const cln_scale *s, double v)
{
    double t = s->log ? log(v / s->low) / log(s->high / s->low) : (v - s->low) / (s->high - s->low);

    return s->from + t * (s->to - s->from);
}

/* ---- names of groups --------------------------------------------------------------------------- */

/* How the names stand: in lines below their groups, or turned where that has no room. */
typedef struct naming {
    double size, angle;
    int lines; /* 0: turned */
} naming;

static naming naming_of(cairo_t *cr, const cln_bars *b, double slot)
{
    const double sizes[] = {TICK_SIZE, TICK_SIZE - 1.5}, narrow = 40;
    char lines[NAME_LINES][CLN_CANVAS_TEXT];

    for (int k = 0; k < 2; k++) {
        naming n = {sizes[k], 0, 0};
        bool all = true;
        for (int g = 0; g < b->n_groups && all; g++) {
            int needs = cln_canvas_wrap(cr, sizes[k], slot - 8, b->groups[g], NAME_LINES, lines);
            all = needs > 0;
            n.lines = needs > n.lines ? needs : n.lines;
        }
        if (all)
            return n;
    }
    return (naming){sizes[1], slot < narrow ? 0.95 : 0.6, 0};
}

/* Length that a turned name may have: it hangs to the left of its group, and must not leave the panel. */
static double name_room(const naming *how, double left, double slot, int g)
{
    const double most = 230;

    return fmin(most, (left + slot * (g + 0.5)) / cos(how->angle));
}

static void draw_names(const cln_frame *f)
{
    const cln_bars *b = f->panel->bars;
    char lines[NAME_LINES][CLN_CANVAS_TEXT];
    const double slot = f->at.w / fmax(1, b->n_groups), bottom = f->at.y + f->at.h;
    const double left = cln_axis_left(f->cr, f->panel, &f->y);
    const naming how = naming_of(f->cr, b, slot);

    cln_canvas_ink(f->cr, CLN_INK);
    for (int g = 0; g < b->n_groups; g++) {
        double x = cln_scale_place(&f->x, g);
        if (how.lines == 0) {
            cln_canvas_turned(f->cr, x + 4, bottom + 15, -how.angle, 1, how.size,
                              name_room(&how, left, slot, g), b->groups[g]);
            continue;
        }
        int n = cln_canvas_wrap(f->cr, how.size, slot - 8, b->groups[g], NAME_LINES, lines);
        for (int i = 0; i < n; i++)
            cln_canvas_text(f->cr, x, bottom + 19 + i * (how.size + 3), 0.5, how.size, slot,
                            lines[i]);
    }
}

/* ---- drawing ----------------------------------------------------------------------------------- */

double cln_axis_left(cairo_t *cr, const cln_panel *p, const cln_scale *y)
{
    double widest = 0;

    for (int i = 0; i < y->n_ticks; i++)
        widest = fmax(widest, cln_canvas_width(cr, TICK_SIZE, y->ticks[i].label));
    return 14 + fmin(widest, 90) + (p->y.label == NULL ? 0 : 32);
}

double cln_axis_below(cairo_t *cr, const cln_panel *p, const cln_scale *y, double width)
{
    const double label = p->x.label == NULL ? 0 : 23;

    if (p->bars == NULL)
        return 27 + label;
    const double slot = width / fmax(1, p->bars->n_groups), left = cln_axis_left(cr, p, y);
    const naming how = naming_of(cr, p->bars, slot);
    double longest = 0;
    if (how.lines > 0)
        return label + 12 + how.lines * (how.size + 3);
    for (int g = 0; g < p->bars->n_groups; g++)
        longest = fmax(longest, fmin(cln_canvas_width(cr, how.size, p->bars->groups[g]),
                                     name_room(&how, left, slot, g)));
    return label + 14 + how.size + longest * sin(how.angle);
}

static void draw_y_ticks(const cln_frame *f, const cln_rect r)
{
    double last = INFINITY;

    for (int i = 0; i < f->y.n_ticks; i++) {
        const cln_tick *t = &f->y.ticks[i];
        double y = floor(cln_scale_place(&f->y, t->value)) + 0.5;
        cln_canvas_ink(f->cr, t->label[0] != '\0' ? GRID : FINE_GRID);
        cln_canvas_line(f->cr, r.x, y, r.x + r.w, y);
        if (t->label[0] == '\0' || last - y < TICK_SIZE + 1)
            continue;
        last = y;
        cln_canvas_ink(f->cr, CLN_GREY);
        cln_canvas_text(f->cr, r.x - 9, y + 4.5, 1, TICK_SIZE, 90, t->label);
    }
}

static void draw_x_ticks(const cln_frame *f, const cln_rect r)
{
    const double bottom = r.y + r.h;
    double last = -INFINITY;

    for (int i = 0; i < f->x.n_ticks; i++) {
        const cln_tick *t = &f->x.ticks[i];
        double x = floor(cln_scale_place(&f->x, t->value)) + 0.5;
        if (f->x.log && f->x.n_ticks > 1) {
            cln_canvas_ink(f->cr, t->label[0] != '\0' ? GRID : FINE_GRID);
            cln_canvas_line(f->cr, x, r.y, x, bottom);
        }
        cln_canvas_ink(f->cr, CLN_GREY);
        cln_canvas_line(f->cr, x, bottom, x, bottom + (t->label[0] != '\0' ? 5 : 3));
        double half = cln_canvas_width(f->cr, TICK_SIZE, t->label) / 2;
        if (t->label[0] == '\0' || x - half < last + 6)
            continue;
        last = x + half;
        cln_canvas_text(f->cr, x, bottom + 21, 0.5, TICK_SIZE, 80, t->label);
    }
}

void cln_axis_draw(const cln_frame *f)
{
    const cln_panel *p = f->panel;
    const cln_rect r = f->at;
    cairo_t *cr = f->cr;

    cln_canvas_bold(cr, false);
    cairo_set_line_width(cr, 1);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_BUTT);
    draw_y_ticks(f, r);
    draw_x_ticks(f, r);
    cln_canvas_ink(cr, CLN_GREY);
    cairo_move_to(cr, floor(r.x) + 0.5, r.y);
    cairo_line_to(cr, floor(r.x) + 0.5, floor(r.y + r.h) + 0.5);
    cairo_line_to(cr, r.x + r.w, floor(r.y + r.h) + 0.5);
    cairo_stroke(cr);
    if (p->bars != NULL)
        draw_names(f);

    cln_canvas_ink(cr, CLN_INK);
    if (p->x.label != NULL) {
        double below = cln_axis_below(cr, p, &f->y, r.w);
        cln_canvas_text(cr, r.x + r.w / 2, r.y + r.h + below - 6, 0.5, LABEL_SIZE, r.w, p->x.label);
    }
    if (p->y.label != NULL)
        cln_canvas_turned(cr, r.x - cln_axis_left(cr, p, &f->y) + 20, r.y + r.h / 2, -acos(-1) / 2,
                          0.5, LABEL_SIZE, r.h, p->y.label);
    if (p->title != NULL)
        cln_canvas_text(cr, r.x + r.w / 2, r.y - 12, 0.5, LABEL_SIZE + 1, r.w, p->title);
}
