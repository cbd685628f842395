/* Charts: lines with bands, points, stacked and grouped bars and free straight lines over linear or
 * logarithmic axes. A chart is a description; cln_chart_write draws it and writes a file. The caller says what
 * there is to see, this module where it goes: ranges, ticks, margins, the legend, and texts that keep out of
 * each other's way. What is described is borrowed for the call.
 *
 * Lengths are pixels of a PNG, which are the user units of an SVG. Texts are UTF-8; what is not is shown as
 * '?', and what is too long for its place is set smaller, then cut off with an ellipsis. */
#ifndef CLN_CHART_H
#define CLN_CHART_H

#include "error.h"

/* ---- colours ----------------------------------------------------------------------------------- */

typedef struct cln_colour {
    double r, g, b; /* 0..1 */
} cln_colour;

/* The palette of Okabe and Ito (2008): told apart by all eyes and in print. And two for texts and lines. */
extern const cln_colour CLN_BLACK, CLN_ORANGE, CLN_SKY, CLN_GREEN, CLN_YELLOW, CLN_BLUE,
    CLN_VERMILLION, CLN_PURPLE;
extern const cln_colour CLN_INK, CLN_GREY;

/* c mixed with white: 0 leaves it, 1 is white. */
cln_colour cln_colour_tint(cln_colour c, double white);

/* ---- what a panel shows ------------------------------------------------------------------------ */

typedef enum { CLN_MARKER_NONE, CLN_MARKER_DOT, CLN_MARKER_SQUARE, CLN_MARKER_DIAMOND } cln_marker;

/* Points, joined by a line where width > 0. A value that cannot be shown (not finite, beyond 1e100, or not
 * positive on a logarithmic axis) interrupts the line; a point without neighbours always has a marker. */
typedef struct cln_series {
    const char *label;   /* in the legend; NULL: not there. A series of no points may have one */
    const double *x, *y; /* count each */
    const double *low, *high; /* a band about y, count each; NULL: none */
    const char *const
        *texts; /* written beside the points where there is room; NULL, or entries NULL: none.
                               * The first ones choose first. */
    int count;
    cln_colour colour;
    double width;      /* of the line; 0: none */
    cln_marker marker; /* its size follows the width, or `size` */
    bool hollow;
    double size; /* radius of the marker; 0: width + 1 */
} cln_series;

/* Bars in groups along the x axis; a bar is a stack of parts. Values are linear and start from 0; negative
 * parts go down from there. NAN: not there. Bar b of group g, part p: values[(g * n_bars + b) * n_parts + p]. */
typedef struct cln_bars {
    const char *const *groups; /* names below the axis */
    const char *const *bars;   /* in the legend; NULL: not there */
    const char *const *parts;  /* likewise, from the axis outwards */
    const cln_colour *
        colours; /* bar b's part p: [b * n_parts + p]; of group g, where by_group: [g * n_parts + p] */
    bool by_group;
    const double *values;
    const double *low,
        *high; /* ends of error bars about the stack's sum: [g * n_bars + b]; NULL: none */
    const char *const *texts; /* beyond the end of bar [g * n_bars + b], if it fits; NULL: none */
    int n_groups, n_bars, n_parts;
} cln_bars;

/* A line between two points that is straight on the page and ends at the frame: a roof, a threshold. It has no
 * part in the ranges of the axes. */
typedef struct cln_rule {
    double x[2], y[2];
    const char *text; /* along it; NULL: none */
    bool below;       /* the text stands below the line */
    bool at_end;      /* near the right end, else near the left one */
    cln_colour colour;
    double width;
    bool dashed;
} cln_rule;

/* An axis. Range and ticks come from the values. */
typedef struct cln_axis {
    const char *label;  /* with its unit */
    bool log;           /* values that are not positive are not shown */
    bool whole;         /* counts something: ticks at whole numbers only */
    bool tight;         /* ends a little beyond the values, not at a tick */
    bool zero;          /* linear: 0 is on it */
    double at_least[2]; /* on it, whatever the values; both 0: no such range */
    double
        at_most[2]; /* where values allow it, the axis does not go beyond these; both 0: no limit */
    const double *ticks; /* ticks at these values alone (as far as they fit); NULL: it chooses */
    int n_ticks;
} cln_axis;

typedef struct cln_panel {
    const char *title;    /* NULL: none */
    cln_axis x, y;        /* x is of no account where there are bars */
    const cln_bars *bars; /* NULL: none */
    const cln_rule *rules;
    int n_rules;
    const cln_series *series;
    int n_series;
} cln_panel;

typedef struct cln_chart {
    const char *title;               /* bold; "": none */
    const char *subtitle, *footnote; /* NULL: none */
    const cln_panel *panels;         /* side by side */
    int n_panels;
    bool legend_above; /* one for all panels above them; else one in a corner of each */
    int width, height;
    int scale; /* pixels of a PNG for each unit, for print and fine screens; 0: 1 */
} cln_chart;

/* CLN_ERR_ARGUMENT where the name ends neither in .png nor in .svg: to be asked before what is drawn is measured. */
int cln_chart_check_name(const char *path, cln_error *err);

/* Draws the chart and writes it atomically: a PNG or an SVG by the name's end. CLN_ERR_ARGUMENT: another end, a
 * size outside 1..8192, bars on a logarithmic y axis; CLN_ERR_IO, CLN_ERR_MEMORY. On failure an older file of
 * that name is as it was. */
int cln_chart_write(const char *path, const cln_chart *chart, cln_error *err);

#endif
