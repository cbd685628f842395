/* Measuring the algorithms of one layer, for `clnorm tune`. */
#ifndef CLN_CLI_TUNE_H
#define CLN_CLI_TUNE_H

#include "../ops/conv.h"

enum { CLN_TUNE_DIRECTIONS = 3 };

/* What became of an algorithm in a direction. */
typedef enum {
    CLN_TRIAL_NONE,   /* it does not support the shape, or nobody wants the direction */
    CLN_TRIAL_LEFT,   /* left out: it cannot win */
    CLN_TRIAL_LOST,   /* `seconds` is of one run, or of one image, and is far too much already */
    CLN_TRIAL_WRONG,  /* it failed, or its results are not those of the algorithm in use */
    CLN_TRIAL_TIMED
} cln_trial_end;

typedef struct cln_trial {
    cln_trial_end end;
    double seconds;
    int wins; /* rounds in which it was the better one against the algorithm in use */
} cln_trial;

typedef struct cln_tune_result {
    cln_tune_shape shape;
    cln_class cls;
    bool wanted[CLN_TUNE_DIRECTIONS];
    cln_trial trials[CLN_TUNE_DIRECTIONS][CLN_CONV_ALGOS];
    cln_conv_algo before[CLN_TUNE_DIRECTIONS], best[CLN_TUNE_DIRECTIONS];
} cln_tune_result;

/* Measures every algorithm for the layer that `line` describes over images of `in`, beginning with those that the tables
 * name. data: it reads the data, nobody wants its dx. all: also what cannot win. `stop` is asked between the parts; when
 * it says so, *whole is false and *out no result. */
int cln_tune_layer(cln_device *dev, const char *line, cln_shape in, bool data, bool all, bool (*stop)(void *arg), void *arg,
                   cln_tune_result *out, bool *whole, cln_error *err);

#endif
