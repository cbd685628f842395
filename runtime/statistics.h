/* Statistics of small samples: means with their intervals, Student's t, paired differences, corrections. */
#ifndef CLN_STATISTICS_H
#define CLN_STATISTICS_H

#include "error.h"

/* Chance of |T| > |t| for Student's t with so many degrees of freedom (> 0, need not be whole), to about 1e-13. */
double cln_stats_t_tails(double t, double freedom);

/* The t > 0 whose two tails beyond it hold 1 - confidence: cln_stats_t_quantile(0.95, 4) is 2.776. */
double cln_stats_t_quantile(double confidence, double freedom);

/* Of n values; sd with n - 1 below it; low and high: the 95 % interval of the mean by Student's t. With one value sd and
 * the interval are NAN, with none the mean is, too. */
typedef struct cln_stats {
    int n;
    double mean, sd, low, high;
} cln_stats;
cln_stats cln_stats_of(const double *values, int n);

/* Differences a[i] - b[i] of n pairs and the paired t-test: p is two-sided. t, p and the interval are NAN with fewer than
 * two pairs, and where all differences are the same, but for rounding: nothing tells then how far chance would move them. */
typedef struct cln_stats_paired {
    cln_stats difference;
    double t, p;
} cln_stats_paired;
cln_stats_paired cln_stats_pairs(const double *a, const double *b, int n);

/* Holm's step-down correction of n p-values (Holm 1979); out may be p. A p that is no number stays so and does not
 * count. CLN_ERR_MEMORY. */
int cln_stats_holm(const double *p, int n, double *out, cln_error *err);

#endif
