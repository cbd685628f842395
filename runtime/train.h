/* The inside of a trainer (the public side is in clnorm.h). */
#ifndef CLN_TRAIN_H
#define CLN_TRAIN_H

#include "average.h"
#include "feed.h"
#include "loss.h"
#include "optim.h"
#include "plan.h"

/* Everything that training changes, on the host: what a checkpoint holds. */
typedef struct cln_state {
    float *weights, *m, *v, *states; /* as in the plan's buffers; v NULL unless AdamW */
    float *average, *average_states; /* likewise; NULL unless weights are averaged */
    size_t n_weights, n_states;
    int epoch, step;                 /* epochs done, steps done of the next one */
    cln_totals totals;
    double seconds;                  /* spent on those steps */
} cln_state;

struct cln_trainer {
    cln_device *dev;
    const cln_dataset *data;
    cln_train_options options;
    cln_net *net;
    cln_plan *plan;
    cln_optim *optim;
    cln_average *average;    /* NULL unless options.ema */
    cln_loss *loss;
    cln_feed *train, *test;
    int micro;               /* images that go through the network at a time */
    int epoch, step, steps;  /* epochs done; steps done of the next one; steps in an epoch */
    double seconds;          /* spent on the steps done of the next epoch */
    cln_state start;         /* of the epoch under way: what a replay begins with */
};

/* Whether the settings are within their limits, and go with the data: CLN_ERR_ARGUMENT names the first that does not. */
int cln_train_check(const cln_train_options *o, const cln_dataset *data, cln_error *err);

/* The network of the options for images of `input`, in place of *net (NULL or one that is freed). */
int cln_train_net(const cln_train_options *o, cln_shape input, int classes, cln_net **net, cln_error *err);

/* How many images go through the network at a time: by the options, else by the tuning tables. */
int cln_train_images(cln_device *dev, const cln_net *net, const cln_train_options *o, int *images, cln_error *err);

/* Bytes on the device while training, by what they are for. */
typedef struct cln_train_memory {
    size_t weights;     /* with running statistics, and the average of both where one is kept */
    size_t gradients, optimizer;
    size_t activations; /* and their gradients, by lifetime */
    size_t workspace;
    size_t data;        /* training and test images, labels, the loss of every image */
    int images;         /* that go through the network at a time */
} cln_train_memory;

/* What a trainer on n_train images of `image` (n is not read) and n_test more will have on the device. Of `dev` only its
 * description and its tuning table are read: nothing is allocated. Errors: those of cln_trainer_new. */
int cln_train_measure(cln_device *dev, const cln_train_options *o, cln_shape image, int classes, int n_train, int n_test,
                      cln_train_memory *out, cln_error *err);
static inline size_t cln_train_memory_sum(const cln_train_memory *m)
{
    return m->weights + m->gradients + m->optimizer + m->activations + m->workspace + m->data;
}

/* Peak learning rate scaled for a step counted over the whole run. */
double cln_train_lr(const cln_train_options *o, int step, int total_steps);

/* A part of a step: what goes through the network at a time. n is 0 behind the last part. */
typedef struct cln_slice {
    int base, n, of; /* images [base, base + n) of the epoch's order, of a step of `of` */
    cln_augment augment;
    cln_pass pass;
    double weight; /* mixup: of the images themselves; the rest is of those that begin at `other`. 1: none */
    int other;
} cln_slice;
cln_slice cln_train_slice(const cln_trainer *t, int epoch, int step, int part);

/* Launches what a step launches but for loss and optimiser, about in the opposite order, and waits for it; weights and
 * statistics are worth nothing then. Two processes of which one does this and the other trains share the time of a driver
 * that compiles a kernel at its first launch and caches it for all. */
int cln_trainer_touch(cln_trainer *t, cln_error *err);

/* Enqueues: the slice's images and labels, augmented and mixed, to where the plan and the loss take them from. */
int cln_train_gather(cln_trainer *t, const cln_slice *s, cln_error *err);

/* max(m, 1 - m), m of Beta(alpha, alpha), 0 < alpha <= 1 (Johnk 1964), a function of seed, epoch and step: an image keeps at
 * least half of itself. */
double cln_train_mix_weight(double alpha, uint32_t seed, uint32_t epoch, uint32_t step);

/* Enqueues step `step` of epoch `epoch` (0-based) whole; the caller fences. */
int cln_train_enqueue(cln_trainer *t, int epoch, int step, cln_error *err);

int cln_state_get(cln_trainer *t, cln_state *out, cln_error *err); /* blocking; reuses out's arrays */
int cln_state_set(cln_trainer *t, const cln_state *s, cln_error *err);
void cln_state_clear(cln_state *s);

/* Runs the forward pass over a whole feed in batches of the plan's size; predictions have the feed's order.
 * The loss's totals are left as they were. logits: (feed->n, classes), in that order, too; NULL: not wanted. */
int cln_evaluate(cln_plan *plan, cln_feed *feed, cln_loss *loss, float *logits, cln_evaluation *out, cln_error *err);

/* Test-time augmentation, never mixed with the single view: the accuracy in percent of the mean of `logits`, which
 * cln_evaluate gave, and those of the mirrored images. */
int cln_evaluate_flip(cln_plan *plan, cln_feed *feed, cln_loss *loss, const float *logits, double *acc, cln_error *err);

/* Replays the epoch up to `bad_step` and fills *err with CLN_ERR_DIVERGED: epoch, step, the layer that first
 * gave a value that is not finite. Always returns a negative code. */
int cln_train_diagnose(cln_trainer *t, int bad_step, cln_error *err);

/* That the last update left finite weights and running statistics, so that what is saved now is good; else as
 * cln_train_diagnose. */
int cln_train_verify(cln_trainer *t, cln_error *err);

#endif
