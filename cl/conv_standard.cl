/* Weight standardisation (Qiao et al. 2019): the filters that a convolution uses are its weights less their mean over
 * their deviation, each output channel apart, over the M = k k Cin weights that lead to it:
 *
 *     s = (w - mean(w)) r,   r = 1 / sqrt(var(w) + eps)         dw = r (ds - mean(ds) - s mean(ds s))
 *
 * One item an output channel. Layout: all (M, Cout). */

static float mean_of(global const float *w, int M, int co)
{
    const float first = w[0];
    float sum = 0.0f;
    for (int i = 1; i < M; i++)
        sum += w[(size_t)i * co] - first;
    return first + sum / M;
}

static float rstd_of(global const float *w, float mean, int M, int co, float eps)
{
    float squares = 0.0f;
    for (int i = 0; i < M; i++)
        squares += (w[(size_t)i * co] - mean) * (w[(size_t)i * co] - mean);
    return 1.0f / sqrt(squares / M + eps);
}

kernel void conv_standard_fwd(global const float *w, global float *s, int M, int co, float eps)
{
    const int c = get_global_id(0);
    if (c >= co)
        return;
    const float mean = mean_of(w + c, M, co), rstd = rstd_of(w + c, mean, M, co, eps);
    for (size_t i = c; i < (size_t)M * co; i += co)
        s[i] = (w[i] - mean) * rstd;
}

/* d holds ds and becomes dw. */
kernel void conv_standard_bwd(global const float *w, global const float *s, global float *d, int M, int co, float eps)
{
    const int c = get_global_id(0);
    if (c >= co)
        return;
    const float rstd = rstd_of(w + c, mean_of(w + c, M, co), M, co, eps);
    float sum = 0.0f, product = 0.0f;
    for (size_t i = c; i < (size_t)M * co; i += co) {
        sum += d[i];
        product += d[i] * s[i];
    }
    for (size_t i = c; i < (size_t)M * co; i += co)
        d[i] = rstd * (d[i] - sum / M - s[i] * (product / M));
}
