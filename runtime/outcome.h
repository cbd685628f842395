/* What a trained network made of the test images: confusion matrix and the first images that it got wrong, pixels
 * included, so that a report needs neither weights nor data. outcome.json in a run's folder. */
#ifndef CLN_OUTCOME_H
#define CLN_OUTCOME_H

#include "dataset.h"
#include "error.h"
#include "figure.h"

typedef struct cln_outcome_mistake {
    int image, truth, predicted; /* place in the test set; classes */
    double confidence;           /* the prediction's probability, 0..1 */
    uint8_t *pixels;             /* owned; (c, h, w) planes */
} cln_outcome_mistake;

typedef struct cln_outcome {
    int n;                       /* images */
    double acc, loss;            /* accuracy in percent */
    int classes, c, h, w;
    char **class_names;          /* owned */
    int *confusion;              /* owned; [true * classes + predicted] */
    cln_outcome_mistake mistakes[CLN_MISTAKES_MAX];
    int n_mistakes;
} cln_outcome;

/* Of an evaluation of the images x and labels y, which have the data set's shape and classes. *out begins as {0} and goes
 * with clear. CLN_ERR_MEMORY. */
int cln_outcome_of(const cln_dataset *d, const uint8_t *x, const uint8_t *y, const cln_evaluation *e, cln_outcome *out,
                   cln_error *err);
void cln_outcome_clear(cln_outcome *o);

int cln_outcome_wrong(const cln_outcome *o); /* images that are not on the diagonal */

/* CLN_ERR_IO, CLN_ERR_MEMORY; reading, too: CLN_ERR_DATA with file and place, whatever the file holds. */
int cln_outcome_write(const cln_outcome *o, const char *path, cln_error *err);
int cln_outcome_read(const char *path, cln_outcome *out, cln_error *err);

/* The mistakes as a picture: see cln_figure_misclassified. */
int cln_outcome_draw(const cln_outcome *o, const char *path, const char *title, cln_error *err);

#endif
