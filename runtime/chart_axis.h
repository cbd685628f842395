/* Axes of a chart's panel: from the values that are to be seen to a range, ticks and places on the page. */
#ifndef CLN_CHART_AXIS_H
#define CLN_CHART_AXIS_H

#include "chart_canvas.h"

enum { CLN_CHART_TICKS = 160 };

typedef struct cln_tick {
    double value;
    char label[32]; /* "": a small tick */
} cln_tick;

typedef struct cln_scale {
    bool log;
    double low, high;
    double from, to; /* where low and high are on the page */
    cln_tick ticks[CLN_CHART_TICKS];
    int n_ticks;
} cln_scale;

/* A panel on its place on the page. */
typedef struct cln_frame {
    cairo_t *cr;
    const cln_panel *panel;
    cln_scale x, y;
    cln_rect at;
} cln_frame;

/* Whether an axis can show v. Values so large that arithmetic with them overflows are left out like those that
 * are not finite. */
static inline bool cln_scale_takes(bool log, double v)
{
    return log ? v > 1e-100 && v < 1e100 : v > -1e100 && v < 1e100;
}

double cln_scale_place(const cln_scale *s, double v);

/* Range and ticks of a panel's axes from all its values; the places are set later. */
void cln_scale_x(cln_scale *s, const cln_panel *p);
void cln_scale_y(cln_scale *s, const cln_panel *p);

/* Sum of the parts of a bar that are of this sign (1, -1; 0: all). */
double cln_bar_sum(const cln_bars *b, int group, int bar, int sign);

/* Room that ticks and labels need left of a frame and, where it is `width` wide, below it. */
double cln_axis_left(cairo_t *cr, const cln_panel *p, const cln_scale *y);
double cln_axis_below(cairo_t *cr, const cln_panel *p, const cln_scale *y, double width);

void cln_axis_draw(const cln_frame *f);

#endif
