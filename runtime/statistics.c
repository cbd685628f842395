#include "statistics.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* ---- Student's t --------------------------------------------------------------------------------- */

static double keep_off_zero(double x)
{
    return fabs(x) < DBL_MIN / DBL_EPSILON ? DBL_MIN / DBL_EPSILON : x;
}

/* The continued fraction of the incomplete beta function, 26.5.8 of Abramowitz & Stegun, by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
    enum { MOST = 10000 };
    double c = 1, d = 1 / keep_off_zero(1 - (a + b) * x / (a + 1)), value = d;
    for (int m = 1; m <= MOST; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / keep_off_zero(1 + even * d);
        c = keep_off_zero(1 + even / c);
        value *= c * d;
        d = 1 / keep_off_zero(1 + odd * d);
        c = keep_off_zero(1 + odd / c);
        value *= c * d;
        if (fabs(c * d - 1) < 1e-15)
            break;
    }
    return value;
}

/* I_x(a, b), where 1 - x is known better than by subtraction. */
static double incomplete_beta(double a, double b, double x, double rest)
{
    if (x <= 0)
        return 0;
    if (rest <= 0)
        return 1;
    const double front =
        exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(rest));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, rest) / b;
}

double cln_stats_t_tails(double t, double freedom)
{
    if (isnan(t) || !(freedom > 0))
        return NAN;
    if (isinf(t))
        return 0;
    const double square = t * t, all = freedom + square;
    if (isinf(square))
        return 0;
    return incomplete_beta(freedom / 2, 0.5, freedom / all, square / all);
}

double cln_stats_t_quantile(double confidence, double freedom)
{
    const double tails = 1 - confidence;
    double low = 0, high = 1;
    if (!(confidence >= 0 && confidence < 1) || !(freedom > 0))
        return NAN;
    while (cln_stats_t_tails(high, freedom) > tails && high < 1e300)
        high *= 2;
    for (int i = 0; i < 200 && low < high; i++) {
        const double middle = 0.5 * (low + high);
        if (middle == low || middle == high)
            break;
        if (cln_stats_t_tails(middle, freedom) > tails)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

/* ---- samples ------------------------------------------------------------------------------------- */

cln_stats cln_stats_of(const double *values, int n)
{
    cln_stats s = {n, NAN, NAN, NAN, NAN};
    double sum = 0, squares = 0;
    if (n < 1)
        return s;
    for (int i = 0; i < n; i++)
        sum += values[i];
    s.mean = sum / n;
    if (n < 2)
        return s;
    for (int i = 0; i < n; i++)
        squares += (values[i] - s.mean) * (values[i] - s.mean);
    s.sd = sqrt(squares / (n - 1));
    const double half = cln_stats_t_quantile(0.95, n - 1) * s.sd / sqrt(n);
    s.low = s.mean - half;
    s.high = s.mean + half;
    return s;
}

cln_stats_paired cln_stats_pairs(const double *a, const double *b, int n)
{
    cln_stats_paired r = {{n, NAN, NAN, NAN, NAN}, NAN, NAN};
    double *apart = n > 0 ? malloc((size_t)n * sizeof *apart) : NULL;
    if (!apart)
        return r;
    for (int i = 0; i < n; i++)
        apart[i] = a[i] - b[i];
    r.difference = cln_stats_of(apart, n);
    free(apart);
    double largest = 0;
    for (int i = 0; i < n; i++)
        largest = fmax(largest, fmax(fabs(a[i]), fabs(b[i])));
    if (n < 2 || !(r.difference.sd > 1e-12 * largest)) {
        r.difference.low = r.difference.high = NAN;
        return r;
    }
    r.t = r.difference.mean / (r.difference.sd / sqrt(n));
    r.p = cln_stats_t_tails(r.t, n - 1);
    return r;
}

/* ---- several tests at once ----------------------------------------------------------------------- */

typedef struct ranked {
    double p;
    int at;
} ranked;

static int by_p(const void *a, const void *b)
{
    const double x = ((const ranked *)a)->p, y = ((const ranked *)b)->p;
    return (x > y) - (x < y);
}

int cln_stats_holm(const double *p, int n, double *out, cln_error *err)
{
    ranked *order = malloc((size_t)(n > 0 ? n : 1) * sizeof *order);
    double least = 0;
    int tests = 0;
    if (!order)
        return CLN_FAIL(err, CLN_ERR_MEMORY, "out of host memory");
    for (int i = 0; i < n; i++) {
        if (isnan(p[i]))
            out[i] = NAN;
        else
            order[tests++] = (ranked){p[i], i};
    }
    qsort(order, (size_t)tests, sizeof *order, by_p);
    for (int i = 0; i < tests; i++) {
        least = fmax(least, fmin(1, (tests - i) * order[i].p));
        out[order[i].at] = least;
    }
    free(order);
    return CLN_OK;
}
