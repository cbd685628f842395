/* A small data set that can be learnt in seconds, and trainers on it. A test that cannot have one of these fails. */
#ifndef CLN_TEST_STRIPES_H
#define CLN_TEST_STRIPES_H

#include "dataset.h"
#include "train.h"

enum {
    STRIPES_SIDE = 16,
    STRIPES_CLASSES = 4,
    STRIPES_TRAIN = 150,
    STRIPES_TEST = 40,
    STRIPES_BATCH = 32,
    STRIPES_STEPS = 5 /* the last of an epoch with 22 images */
};

/* Colour images of noise over a stripe whose place tells the class. Goes with stripes_clear. */
cln_dataset stripes_new(void);
void stripes_clear(cln_dataset *data);

/* The norm's recipe, for two epochs of STRIPES_BATCH. */
cln_train_options stripes_options(const char *norm);

cln_trainer *stripes_trainer(cln_device *dev, const cln_dataset *data, const cln_train_options *o);

typedef struct sha {
    char hex[65];
} sha;
sha sha_of(cln_trainer *t);

/* A progress function: *arg counts the steps that are left until it asks to stop; 0: never. */
bool stop_after(void *arg, const cln_progress *progress);

#endif
