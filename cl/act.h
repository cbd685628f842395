// Smooth activations in place of ReLU, y = act(u) and dy/du from u:
//
//     ACT  1  SiLU  u / (1 + exp(-u))                     (Elfwing, Uchibe & Doya 2018)
//          2  CELU  u where u >= 0, else exp(u) - 1       (Barron 2017, alpha = 1: the same as ELU)
//          3  GELU  u (1 + erf(u / sqrt 2)) / 2           (Hendrycks & Gimpel 2016; not its approximation by tanh)
//          0  none of them: ReLU or nothing, by `lo` at run time, and none of this is compiled
//
// A NaN passes, and values up to 1e15 give no other.
#ifndef CLN_ACT_H
#define CLN_ACT_H

#ifndef ACT
#define ACT 0
#endif

// Whether act falls before it rises: the largest act(u) of a set is then that of its largest u or of its smallest.
#define ACT_FALLS (ACT == 1 || ACT == 3)

#if ACT
// exp(-x), x between -87 and 87, to 2e-7 of its value. 2^n 2^f with n = rint(-x / ln 2): added to 1.5 * 2^23, n stands in the
// low bits; 2^f by the polynomial whose largest relative error on +-1/2 is least, 9e-8. A CPU's vector library also treats
// the ends of the range; a GPU's work-items of one value have exp in hardware (those of four values take this, too).
static inline vec act_exp_minus(vec x)
{
#if V == 1
    return exp(-x);
#else
    const vec t = x * -1.44269504f + 12582912.0f, f = x * -1.44269504f - (t - 12582912.0f);
    vec p = 1.32647390e-3f * f + 9.67151272e-3f;
    p = p * f + 5.55073370e-2f;
    p = p * f + 2.40222421e-1f;
    p = p * f + 6.93146978e-1f;
    p = p * f + 1.0f;
    return CLN_AS_VEC(CLN_AS_IVEC(p) + (CLN_AS_IVEC(t) << 23));
#endif
}
// The same for any x >= 0, held to 87 (and a NaN to it): what it is used for adds 1 or subtracts it.
static inline vec act_decay(vec x)
{
    return act_exp_minus(V == 1 ? x : select((vec)(87.0f), x, x < (vec)(87.0f)));
}
#endif

#if ACT == 1
// s = 1 / (1 + exp(-u)) of two values: the division, which takes a CPU as long as all the rest, is that of both. u is held
// to +-43 (a NaN, too), where s is 2e-19 or 1: the product of both 1 + exp(-u) stays finite, and its reciprocal normal.
static inline vec act_held(vec u)
{
    const vec below = select((vec)(43.0f), u, u < (vec)(43.0f));
    return select((vec)(-43.0f), below, below > (vec)(-43.0f));
}
static inline void act_sigmoids(vec u, vec v, vec *su, vec *sv)
{
    const vec du = 1.0f + act_exp_minus(act_held(u)), dv = 1.0f + act_exp_minus(act_held(v)), r = 1.0f / (du * dv);
    *su = dv * r;
    *sv = du * r;
}
static inline vec act_slope_by(vec u, vec s)
{
    return s * (1.0f + u * (1.0f - s));
}
static inline vec act_sigmoid(vec u)
{
    const vec e = act_decay(fabs(u));
    return select((vec)(1.0f), e, u < (vec)(0.0f)) / (1.0f + e);
}
static inline vec act_of(vec u)
{
    return u * act_sigmoid(u);
}
static inline vec act_slope(vec u)
{
    return act_slope_by(u, act_sigmoid(u));
}
#elif ACT == 2
// Near 0 by the series, where exp(u) - 1 would cancel.
static inline vec act_of(vec u)
{
    const vec near = u * (1.0f + u * (1.0f / 2 + u * (1.0f / 6 + u * (1.0f / 24))));
    const vec below = select(act_decay(fmax(-u, (vec)(0.0f))) - 1.0f, near, u > (vec)(-0.1f));
    return select(u, below, u < (vec)(0.0f));
}
static inline vec act_slope(vec u)
{
    return select((vec)(1.0f), act_decay(fmax(-u, (vec)(0.0f))), u < (vec)(0.0f));
}
#elif ACT == 3
static inline vec act_of(vec u)
{
    return 0.5f * u * (1.0f + erf(u * 0.70710678f));
}
static inline vec act_slope(vec u)
{
    return 0.5f * (1.0f + erf(u * 0.70710678f)) + u * (0.39894228f * act_decay(0.5f * u * u));
}
#endif

#if ACT
// act and its slope of two values at once, act in their places. Who wants one of them alone pays for one alone: what is not
// read is not computed.
static inline void act_both_of_two(vec *u, vec *v, vec *slope_u, vec *slope_v)
{
#if ACT == 1 && V > 1
    vec su, sv;
    act_sigmoids(*u, *v, &su, &sv);
    *slope_u = act_slope_by(*u, su);
    *slope_v = act_slope_by(*v, sv);
    *u *= su;
    *v *= sv;
#else
    *slope_u = act_slope(*u);
    *slope_v = act_slope(*v);
    *u = act_of(*u);
    *v = act_of(*v);
#endif
}
static inline void act_of_two(vec *u, vec *v)
{
    vec slope_u, slope_v;
    act_both_of_two(u, v, &slope_u, &slope_v);
}
static inline void act_slope_of_two(vec *u, vec *v)
{
    vec of_u = *u, of_v = *v;
    act_both_of_two(&of_u, &of_v, u, v);
}
#if ACT_FALLS
// Whether act(low) > act(high), and the slope at the one that is larger.
static inline ivec act_falls_to(vec low, vec high, vec *slope)
{
#if ACT == 1 && V > 1
    vec sl, sh;
    act_sigmoids(low, high, &sl, &sh);
    const ivec falls = low * sl > high * sh;
    *slope = act_slope_by(select(high, low, falls), select(sh, sl, falls));
#else
    const ivec falls = act_of(low) > act_of(high);
    *slope = act_slope(select(high, low, falls));
#endif
    return falls;
}
#endif
#endif

#endif
