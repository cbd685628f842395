/* The loss-trajectory fixtures: what fixtures/make_trajectory.py defines, on this side. */
#ifndef CLN_TEST_TRAJECTORY_H
#define CLN_TEST_TRAJECTORY_H

#include "file.h"
#include "ops/verdict.h"
#include "plan.h"

enum {
    CLN_TRAJECTORY_BATCH = 4,
    CLN_TRAJECTORY_SIDE = 16,
    CLN_TRAJECTORY_STEPS = 10,
    CLN_TRAJECTORY_CLASSES = 10,
    CLN_TRAJECTORY_INPUTS = CLN_TRAJECTORY_BATCH * CLN_TRAJECTORY_SIDE * CLN_TRAJECTORY_SIDE * 3
};

typedef struct cln_trajectory {
    const char *text;
    uint64_t seed;
    float input[CLN_TRAJECTORY_INPUTS];
    int32_t labels[CLN_TRAJECTORY_BATCH];
} cln_trajectory;

/* Takes fixtures/trajectory-MODEL-NORM.txt, which travels in the program, and checks the formulas against its first
 * values: CLN_ERR_INTERNAL where they differ. */
int cln_trajectory_open(cln_trajectory *t, const char *model, const char *norm, cln_error *err);

/* Number `index` behind the key, a whole line's beginning ("loss 3"); NAN where it is missing. */
double cln_trajectory_value(const cln_trajectory *t, const char *key, int index);

/* Initial weights and running statistics into the plan's buffers. */
int cln_trajectory_weights(const cln_trajectory *t, cln_plan *plan, cln_error *err);

/* The fixture's name of a parameter: "conv3.weight", "norm3.gamma". */
void cln_trajectory_name(const cln_plan *plan, const cln_slot *slot, char name[32]);

/* Trains MODEL with NORM for `steps` steps (at least 1) and holds losses, gradient norms, running statistics, and logits in
 * evaluation against the fixture, which has CLN_TRAJECTORY_STEPS; the last loss must be below the first. sha: of the
 * weights afterwards; untouched where a call failed. */
void cln_trajectory_follow(cln_device *dev, const char *model, const char *norm,
                           const cln_plan_options *options, int steps, char sha[CLN_SHA256_HEX],
                           cln_verdict *v);

#endif
