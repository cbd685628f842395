/* Pictures of a run, as PNG files: curves over epochs and the images that the network got wrong. */
#ifndef CLN_FIGURE_H
#define CLN_FIGURE_H

#include "error.h"

enum { CLN_FIGURE_WIDTH = 1200, CLN_FIGURE_HEIGHT = 480 }; /* pixels, of curves.png */

/* One line in a panel. Values that are not finite (or beyond 1e100) interrupt it. */
typedef struct cln_series {
    const char *label;   /* in the legend */
    const double *x, *y; /* count each, borrowed */
    int count;
    double rgb[3]; /* 0..1 */
    double width;  /* of the line, pixels */
} cln_series;

/* A plot of some series over common axes, whose ranges and ticks come from the values. */
typedef struct cln_panel {
    const char *x_label, *y_label;
    const cln_series *series;
    int n_series;
    bool whole_x;        /* x counts something: ticks at whole numbers only */
    double y_min, y_max; /* the axis never goes beyond these; NAN: no limit */
} cln_panel;

/* Draws panels side by side under a title and writes the PNG atomically. Texts are UTF-8; what is not is
 * shown as '?'. CLN_ERR_IO, CLN_ERR_MEMORY. */
int cln_figure_panels(const char *path, const char *title, const cln_panel *panels, int n_panels,
                      int width, int height, cln_error *err);

/* curves.png: loss and accuracy in percent of training and test over the epochs, side by side; 1200 x 480.
 * count may be 0: empty axes. Errors as above. */
int cln_figure_curves(const char *path, const char *title, const cln_metrics *metrics, int count,
                      cln_error *err);

/* An image and what the network took it for. */
typedef struct cln_mistake {
    const uint8_t *pixels;         /* (channels, h, w) planes, borrowed */
    const char *truth, *predicted; /* names of classes */
    double confidence;             /* the prediction's probability, 0..1 */
} cln_mistake;

enum { CLN_MISTAKES_ACROSS = 5, CLN_MISTAKES_MAX = 10 };

/* misclassified.png: up to ten images as a 5x2 matrix (one row for five or fewer, a sentence for none), each
 * with its true and predicted class. channels is 1 (grey) or 3 (red, green, blue), else CLN_ERR_ARGUMENT. */
int cln_figure_misclassified(const char *path, const char *title, const cln_mistake *mistakes,
                             int n, int channels, int h, int w, cln_error *err);

#endif
