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

#if ACT == 1
static vec act_of(vec u)
{
    return u / (1.0f + exp(-u));
}
static vec act_slope(vec u)
{
    const vec s = 1.0f / (1.0f + exp(-u));
    return s * (1.0f + u * (1.0f - s));
}
#elif ACT == 2
// Near 0 by the series, where exp(u) - 1 would cancel.
static vec act_of(vec u)
{
    const vec near = u * (1.0f + u * (1.0f / 2 + u * (1.0f / 6 + u * (1.0f / 24))));
    const vec below = select(exp(fmin(u, (vec)(0.0f))) - 1.0f, near, u > (vec)(-0.1f));
    return select(u, below, u < (vec)(0.0f));
}
static vec act_slope(vec u)
{
    return select((vec)(1.0f), exp(fmin(u, (vec)(0.0f))), u < (vec)(0.0f));
}
#elif ACT == 3
static vec act_of(vec u)
{
    return 0.5f * u * (1.0f + erf(u * 0.70710678f));
}
static vec act_slope(vec u)
{
    return 0.5f * (1.0f + erf(u * 0.70710678f)) + u * (0.39894228f * exp(-0.5f * u * u));
}
#endif

#endif
