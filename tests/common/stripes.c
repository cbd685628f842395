#include "common/stripes.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGE = 3 * STRIPES_SIDE * STRIPES_SIDE, ALL = STRIPES_TRAIN + STRIPES_TEST };

cln_dataset stripes_new(void)
{
    uint8_t *images = malloc((size_t)ALL * IMAGE), *labels = malloc(ALL);
    uint32_t state = 7; /* Numerical Recipes' ranqd1 */
    if (!images || !labels)
        abort(); /* runs outside of Check, too */
    for (int i = 0; i < ALL; i++) {
        labels[i] = (uint8_t)((i * 7 + i / 11) % STRIPES_CLASSES);
        for (int p = 0; p < IMAGE; p++) {
            const int row = p / STRIPES_SIDE % STRIPES_SIDE;
            const int on = row / (STRIPES_SIDE / STRIPES_CLASSES) == labels[i];
            state = state * 1664525u + 1013904223u;
            images[i * IMAGE + p] = (uint8_t)((state >> 25) + (on ? 100 : 20));
        }
    }
    return (cln_dataset){.name = "stripes",
                         .c = 3,
                         .h = STRIPES_SIDE,
                         .w = STRIPES_SIDE,
                         .classes = STRIPES_CLASSES,
                         .n_train = STRIPES_TRAIN,
                         .n_test = STRIPES_TEST,
                         .train_x = images,
                         .train_y = labels,
                         .test_x = images + STRIPES_TRAIN * IMAGE,
                         .test_y = labels + STRIPES_TRAIN,
                         .mean = {0.4f, 0.4f, 0.4f},
                         .std = {0.2f, 0.2f, 0.2f},
                         .digest = "0123"};
}

void stripes_clear(cln_dataset *data)
{
    free(data->train_x);
    free(data->train_y);
    memset(data, 0, sizeof *data);
}

cln_train_options stripes_options(const char *norm)
{
    cln_train_options o;
    cln_train_defaults(norm, &o);
    o.epochs = 2;
    o.batch = STRIPES_BATCH;
    return o;
}

cln_trainer *stripes_trainer(cln_device *dev, const cln_dataset *data, const cln_train_options *o)
{
    cln_error err = {0};
    cln_trainer *t = NULL;
    ck_assert_msg(cln_trainer_new(dev, data, o, &t, &err) == CLN_OK, "%s\n%s", err.text, err.log);
    return t;
}

sha sha_of(cln_trainer *t)
{
    cln_error err = {0};
    sha s;
    ck_assert_msg(cln_trainer_weights_sha256(t, s.hex, &err) == CLN_OK, "%s", err.text);
    return s;
}

bool stop_after(void *arg, const cln_progress *progress)
{
    ck_assert_int_ge(progress->step, 1);
    ck_assert_int_le(progress->step, progress->steps);
    return --*(int *)arg != 0;
}
