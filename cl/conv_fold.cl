// A convolution's weights with the norm behind it folded in, for inference:
//
//   (w x + b - mean) * a + beta = (a w) x + (b - mean) * a + beta,   a = gamma / sqrt(var + eps)
//
// One item an output channel. Layout: w (rows, Cout), all others (Cout).

kernel void conv_fold(global const float *w, global const float *b, // b is read when has_bias
                      global const float *gamma, global const float *beta,
                      global const float *mean, global const float *var,
                      global float *folded_w, global float *folded_b, int rows, int co, int has_bias, float eps)
{
    const int c = get_global_id(0);
    if (c >= co)
        return;
    const float a = gamma[c] / sqrt(var[c] + eps);
    for (size_t i = c; i < (size_t)rows * co; i += co)
        folded_w[i] = w[i] * a;
    folded_b[c] = ((has_bias ? b[c] : 0.0f) - mean[c]) * a + beta[c];
}
