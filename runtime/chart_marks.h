/* What stands in a chart's frame: bars, rules, series and the texts beside them. */
#ifndef CLN_CHART_MARKS_H
#define CLN_CHART_MARKS_H

#include "chart_axis.h"

/* Everything in the frame but axes and legend. CLN_ERR_MEMORY. */
int cln_marks_draw(const cln_frame *f, cln_error *err);

/* One marker of a series about (x, y), and its radius. */
void cln_marks_marker(cairo_t *cr, const cln_series *s, double x, double y);
double cln_marks_radius(const cln_series *s);

/* How much that is drawn lies in box or within 20 pixels of it: points, lines and bars, in no unit. */
int cln_marks_inside(const cln_frame *f, cln_rect box);

/* Left edge and width of bar b of group g. */
void cln_marks_bar(const cln_frame *f, int g, int b, double *x, double *width);

#endif
