/* Pictures of a run, as PNG or SVG files by the name's end: curves over epochs and the images that the
 * network got wrong. */
#ifndef CLN_FIGURE_H
#define CLN_FIGURE_H

#include "chart.h"

enum { CLN_FIGURE_WIDTH = 1200, CLN_FIGURE_HEIGHT = 480 }; /* pixels, of curves.png */

/* curves.png: loss and accuracy in percent of training and test over the epochs, side by side; 1200 x 480.
 * count may be 0: empty axes. Written atomically; texts and errors as in chart.h. */
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
