/* The ground that pictures are drawn on: a cairo surface that becomes a PNG or an SVG file, and text that fits
 * its place. Used by chart.c, its parts, and figure.c. */
#ifndef CLN_CHART_CANVAS_H
#define CLN_CHART_CANVAS_H

#include <cairo.h>

#include "chart.h"

enum { CLN_CANVAS_MAX_SIDE = 8192, CLN_CANVAS_MAX_SCALE = 4, CLN_CANVAS_TEXT = 512 };

typedef struct cln_rect {
    double x, y, w, h;
} cln_rect;

typedef struct cln_canvas {
    cairo_t *cr;
    const char *path;
    bool svg;
    unsigned char *bytes; /* of the file */
    size_t n, capacity;
} cln_canvas;

/* A white canvas for the file `path` (borrowed until close), which is not touched yet. The canvas must stay
 * where it is until closed. A PNG has `scale` pixels for each unit of length. CLN_ERR_ARGUMENT for a name that ends neither in .png nor in .svg and for a side
 * outside 1..CLN_CANVAS_MAX_SIDE; nothing is to be closed then. */
int cln_canvas_open(cln_canvas *c, const char *path, int width, int height, int scale,
                    cln_error *err);

/* Writes the file, unless rc is an error already, and frees what the canvas holds. Returns rc or the error. */
int cln_canvas_close(cln_canvas *c, int rc, cln_error *err);

void cln_canvas_ink(cairo_t *cr, cln_colour colour);
void cln_canvas_bold(cairo_t *cr, bool bold);

/* Straight from one point to another; the line width and the colour are the caller's. */
void cln_canvas_line(cairo_t *cr, double x0, double y0, double x1, double y1);

/* Width of text at that size, as it would be drawn with room enough. */
double cln_canvas_width(cairo_t *cr, double size, const char *text);

/* Draws text with its baseline at y; `align` 0, 0.5, 1 puts its left end, middle or right end at x. Text wider
 * than max_width is set smaller, down to three quarters, and then shortened. */
void cln_canvas_text(cairo_t *cr, double x, double y, double align, double size, double max_width,
                     const char *text);

/* The same about (x, y) turned by `angle` radians, clockwise. */
void cln_canvas_turned(cairo_t *cr, double x, double y, double angle, double align, double size,
                       double max_width, const char *text);

/* Breaks text into at most max_lines lines no wider than `width`, after blanks and before '+' and '/'. Returns
 * their number, 0 where it cannot be done. */
int cln_canvas_wrap(cairo_t *cr, double size, double width, const char *text, int max_lines,
                    char lines[][CLN_CANVAS_TEXT]);

#endif
