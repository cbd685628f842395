// Planes of N*C floats in a norm's ws, of which batch norm uses the first C each: coefficients of its backward pass, and
// 1 / sqrt(var + eps).
#define Q_PLANE 0
#define R_PLANE 1
#define RSTD_PLANE 2
#define PLANE(i) ((size_t)(i) * N * C)
