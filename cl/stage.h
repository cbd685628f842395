// What a stage (see the head of norm.cl) does at a pixel, V channels: for the kernels of norms, and for convolutions that
// do it on load. No function returns a struct: what becomes of that, Oclgrind 21.10 does not know
// (llvm.experimental.noalias.scope.decl).

#define INLINE static inline __attribute__((always_inline))
#define ZERO ((vec)(0.0f))

// max(u, lo). A NaN passes: it has to reach the loss to be seen.
INLINE vec stage_activate(vec u, float lo)
{
#if ACT
    return act_of(u);
#else
    return select(u, (vec)(lo), u < (vec)(lo));
#endif
}

INLINE void stage_activate_two(vec *u, vec *v, float lo)
{
#if ACT
    act_of_two(u, v);
#else
    *u = stage_activate(*u, lo);
    *v = stage_activate(*v, lo);
#endif
}

// That of u = (z - mu) a + beta.
INLINE vec stage_apply(vec z, vec mu, vec a, vec beta, float lo)
{
    return stage_activate((z - mu) * a + beta, lo);
}

// Of two pixels at once, in their places (see act.h).
INLINE void stage_apply_two(vec *z, vec *w, vec mu, vec a, vec beta, float lo)
{
    *z = (*z - mu) * a + beta;
    *w = (*w - mu) * a + beta;
    stage_activate_two(z, w, lo);
}

// The largest that becomes of four.
INLINE vec stage_pool(vec u0, vec u1, vec u2, vec u3, float lo)
{
    vec y = larger(larger(larger(u0, u1), u2), u3);
#if ACT_FALLS
    vec least = -larger(larger(larger(-u0, -u1), -u2), -u3);
    stage_activate_two(&y, &least, lo);
    return larger(y, least);
#else
    return stage_activate(y, lo);
#endif
}

// g = dy where the activation let it through. lo -INFINITY: dy is g; with ACT 0 else.
INLINE vec stage_mask(vec z, vec mu, vec a, vec beta, vec dy, float lo)
{
    const vec u = (z - mu) * a + beta;
#if ACT
    return lo < 0.0f ? dy : dy * act_slope(u);
#else
    return select(ZERO, dy, u > (vec)(lo));
#endif
}

// From u of two pixels and dy of both: y in the place of u, g in that of dy.
INLINE void stage_both_two(vec *u, vec *v, vec *dy_u, vec *dy_v, float lo)
{
#if ACT
    vec slope_u, slope_v;
    act_both_of_two(u, v, &slope_u, &slope_v);
    *dy_u *= slope_u;
    *dy_v *= slope_v;
#else
    *dy_u = select(ZERO, *dy_u, *u > (vec)(lo));
    *dy_v = select(ZERO, *dy_v, *v > (vec)(lo));
    stage_activate_two(u, v, lo);
#endif
}

typedef struct {
    vec d[4]; // z - mu in the 2x2 window
    vec g[4]; // dy at the argmax (the first of equals), 0 elsewhere
} stage_window;

// The same behind a 2x2 max pooling; w: the window's first pixel, `row` floats to the next row.
INLINE void stage_unpool(global const float *w, size_t row, int C, vec mu, vec a, vec beta, vec dy, float lo,
                         stage_window *r)
{
    r->d[0] = VLOAD(w) - mu;
    r->d[1] = VLOAD(w + C) - mu;
    r->d[2] = VLOAD(w + row) - mu;
    r->d[3] = VLOAD(w + row + C) - mu;
    vec u0 = r->d[0] * a + beta, u1 = r->d[1] * a + beta, u2 = r->d[2] * a + beta, u3 = r->d[3] * a + beta;
#if ACT_FALLS // where the smallest gives the most, its negative is sought instead: the largest
    const vec high = fmax(fmax(u0, u1), fmax(u2, u3)), low = fmin(fmin(u0, u1), fmin(u2, u3));
    vec slope;
    const ivec falls = act_falls_to(low, high, &slope);
    u0 = select(u0, -u0, falls);
    u1 = select(u1, -u1, falls);
    u2 = select(u2, -u2, falls);
    u3 = select(u3, -u3, falls);
#endif
    const vec m1 = select(u0, u1, u1 > u0), m2 = select(m1, u2, u2 > m1);
    const vec m3 = select(m2, u3, u3 > m2);
#if ACT_FALLS
    const vec g = dy * slope;
#elif ACT
    const vec g = dy * act_slope(m3);
#else
    const vec g = select(ZERO, dy, m3 > (vec)(lo));
#endif
    // Walking back from the last: a pixel owns g if it beat all before and none after beat it.
    r->g[3] = select(ZERO, g, u3 > m2);
    const vec g2 = select(g, ZERO, u3 > m2);
    r->g[2] = select(ZERO, g2, u2 > m1);
    const vec g1 = select(g2, ZERO, u2 > m1);
    r->g[1] = select(ZERO, g1, u1 > u0);
    r->g[0] = select(g1, ZERO, u1 > u0);
}

// A stage whose gradient dz = a g + q (z - mu) + r is wanted where a convolution reads its dy.
typedef struct {
    int wanted;
    global const float *z, *dy, *mu, *a, *beta, *q, *r; // (N, H, W, C), (N, H/pool, W/pool, C); at [n coef_stride + c]; (C)
    int coef_stride, pool;
    float lo;
} stage_behind;

// It as kernel arguments, CLN_CONV_BEHIND's on the host. dz may take dy's place.
#define STAGE_BEHIND_ARGS                                                                                              \
    int behind_wanted, global const float *behind_z, global const float *behind_dy, global const float *behind_mu,     \
        global const float *behind_a, global const float *behind_beta, global const float *behind_qr,                   \
        int behind_r_at, int behind_stride, int behind_pool, float behind_lo
#define STAGE_BEHIND                                                                                                   \
    {behind_wanted, behind_z, behind_dy, behind_mu, behind_a, behind_beta, behind_qr,                                  \
     behind_qr + behind_r_at, behind_stride, behind_pool, behind_lo}

// Its coefficients for an image and V channels.
typedef struct {
    vec mu, a, beta, q, r;
    float lo;
} stage_coefs;

INLINE void stage_coefs_of(stage_behind s, int n, int c, stage_coefs *k)
{
    const int at = n * s.coef_stride + c;
    k->mu = VLOAD(s.mu + at);
    k->a = VLOAD(s.a + at);
    k->beta = VLOAD(s.beta + c);
    k->q = VLOAD(s.q + at);
    k->r = VLOAD(s.r + at);
    k->lo = s.lo;
}

INLINE vec stage_dz(stage_coefs k, vec z, vec dy)
{
    return k.a * stage_mask(z, k.mu, k.a, k.beta, dy, k.lo) + (k.q * (z - k.mu) + k.r);
}

// Of two pixels, in the places of their dy.
INLINE void stage_dz_two(stage_coefs k, vec z, vec w, vec *dz, vec *dw)
{
#if ACT
    if (!(k.lo < 0.0f)) {
        vec slope_z = (z - k.mu) * k.a + k.beta, slope_w = (w - k.mu) * k.a + k.beta;
        act_slope_of_two(&slope_z, &slope_w);
        *dz *= slope_z;
        *dw *= slope_w;
    }
    *dz = k.a * *dz + (k.q * (z - k.mu) + k.r);
    *dw = k.a * *dw + (k.q * (w - k.mu) + k.r);
#else
    *dz = stage_dz(k, z, *dz);
    *dw = stage_dz(k, w, *dw);
#endif
}
