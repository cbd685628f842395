/* Rows of the bench with samples that are drawn, not measured: their distribution is known. */
#ifndef CLN_TEST_SYNTHETIC_H
#define CLN_TEST_SYNTHETIC_H

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "philox.h"

/* Uniform in (0, 1) and standard normal (Box and Muller), numbers `i` of the sequence `seed`. */
static inline double synthetic_unit(unsigned seed, unsigned i)
{
    return (cln_philox4x32(i, 0, 0, 77, seed, 0).v[0] + 0.5) / 4294967296.0;
}
static inline double synthetic_normal(unsigned seed, unsigned i)
{
    const cln_philox w = cln_philox4x32(i, 1, 0, 77, seed, 0);
    return sqrt(-2 * log((w.v[0] + 0.5) / 4294967296.0)) *
           cos(2 * 3.14159265358979 * (w.v[1] + 0.5) / 4294967296.0);
}

/* Samples: time, times the mood of their round, times noise of their own. Both are log-normal, so that `time`
 * is the median of what they are drawn from. */
typedef struct synthetic {
    int rounds, per_round;
    double time, mood, noise;       /* mood, noise: standard deviations of the logarithm */
    unsigned mood_seed, noise_seed; /* the same mood_seed: the same rounds */
} synthetic;

static inline cln_bench_row synthetic_row(const char *what, const synthetic *s)
{
    cln_bench_row r = {.batch = 128, .bound = "", .event = NAN, .first = NAN};
    cln_error err = {0};
    cln_bench_row_name(&r, "alone", what, "-", "forward");
    r.n_samples = s->rounds * s->per_round;
    r.per_round = s->per_round;
    r.repetitions = 1;
    r.samples = malloc((size_t)r.n_samples * sizeof *r.samples);
    ck_assert_ptr_nonnull(r.samples);
    for (int i = 0; i < r.n_samples; i++)
        r.samples[i] =
            s->time * exp(s->mood * synthetic_normal(s->mood_seed, (unsigned)(i / s->per_round)) +
                          s->noise * synthetic_normal(s->noise_seed, (unsigned)i));
    ck_assert_msg(cln_bench_row_summarise(&r, &err) == 0, "%s", err.text);
    return r;
}

#endif
