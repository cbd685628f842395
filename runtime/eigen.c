#include "eigen.h"

#include <float.h>
#include <math.h>

/* a' = J' a J and v' = v J, the rotation J of p and q that makes a[p][q] zero. */
static void rotate(double *a, double *v, int n, int p, int q)
{
    const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
    const double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    const double c = 1 / sqrt(t * t + 1), s = t * c;
    for (int k = 0; k < n; k++) {
        const double kp = a[k * n + p], kq = a[k * n + q];
        a[k * n + p] = c * kp - s * kq;
        a[k * n + q] = s * kp + c * kq;
    }
    for (int k = 0; k < n; k++) {
        const double pk = a[p * n + k], qk = a[q * n + k], vp = v[k * n + p], vq = v[k * n + q];
        a[p * n + k] = c * pk - s * qk;
        a[q * n + k] = s * pk + c * qk;
        v[k * n + p] = c * vp - s * vq;
        v[k * n + q] = s * vp + c * vq;
    }
}

static void swap_columns(double *a, double *v, int n, int i, int j)
{
    const double value = a[i * n + i];
    a[i * n + i] = a[j * n + j];
    a[j * n + j] = value;
    for (int k = 0; k < n; k++) {
        const double t = v[k * n + i];
        v[k * n + i] = v[k * n + j];
        v[k * n + j] = t;
    }
}

static void make_positive(double *v, int n, int column)
{
    int largest = 0;
    for (int k = 1; k < n; k++)
        if (fabs(v[k * n + column]) > fabs(v[largest * n + column]))
            largest = k;
    const double sign = v[largest * n + column] < 0 ? -1 : 1;
    for (int k = 0; k < n; k++)
        v[k * n + column] *= sign;
}

void cln_eigen_symmetric(double *a, double *v, int n)
{
    enum { SWEEPS = 60 }; /* quadratic convergence: ten are enough */
    double size = 0, apart = 1;
    for (int i = 0; i < n * n; i++) {
        v[i] = i % (n + 1) == 0;
        size += a[i] * a[i];
    }
    for (int sweep = 0; sweep < SWEEPS && apart > DBL_EPSILON * DBL_EPSILON * size; sweep++) {
        apart = 0;
        for (int p = 0; p < n; p++)
            for (int q = p + 1; q < n; q++) {
                apart += a[p * n + q] * a[p * n + q];
                if (a[p * n + q] != 0)
                    rotate(a, v, n, p, q);
            }
    }
    for (int i = 0; i < n; i++) {
        int top = i;
        for (int k = i + 1; k < n; k++)
            top = a[k * n + k] > a[top * n + top] ? k : top;
        swap_columns(a, v, n, i, top);
    }
    for (int i = 0; i < n; i++)
        make_positive(v, n, i);
}
